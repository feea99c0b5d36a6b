//! A bound for the work that symbolic links can make: one path may lead through 80,000 components, by 40 links of
//! 4095 bytes, and an archive of 2 KB can hold thousands of such paths.

use crate::error::{Result, failed};

/// Components behind links that any layers may look up, whatever their number of entries: some seconds' work.
const FREE: u64 = 1 << 21;
/// Components that each entry adds to that. Real paths lead through one link or two, to some ten components.
const BY_ENTRY: u64 = 256;

/// The components behind links that may still be looked up. With each entry there are more, so that the work is
/// linear in what the layers hold.
#[derive(Debug)]
pub struct Lookups {
    left: u64,
}

impl Default for Lookups {
    fn default() -> Lookups {
        Lookups { left: FREE }
    }
}

impl Lookups {
    /// Adds what an entry may look up.
    pub fn add_entry(&mut self) {
        self.left = self.left.saturating_add(BY_ENTRY);
    }

    /// Returns the number of components that may still be looked up.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Takes off what was looked up; fails if that is too much.
    pub fn spend(&mut self, components: u64) -> Result<()> {
        self.left = self.left.checked_sub(components).ok_or_else(|| {
            failed("the image's paths lead through more links than those of any image do", "rebuild the image")
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decision_page_names_the_limit_of_the_code() {
        let page = include_str!("../../docs/decisions/0023-image-in-memory.md");
        assert_eq!((FREE, BY_ENTRY), (1 << 21, 256));
        assert!(page.contains("2²¹ components behind links, and 256 more for each entry"));
    }
}
