//! Protection against an old image under a signed tag: whoever holds the registry could serve one that was signed long
//! ago, with all its known holes.

use crate::disk::installed::open::Disk;
use crate::error::{Result, refused};
use crate::oci::Image;
use crate::words::units::rfc3339;

/// The word for it in `--allow`.
const NAME: &str = "older-image";

/// Treatment of a signed image that is older than one that the disk holds under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Older {
    /// Refuse it.
    Refuse,
    /// Use it (`--allow older-image`).
    Allow,
}

impl Older {
    /// Takes `older-image` out of the words of `--allow`, each text of which may hold several; the rest are ids of rules.
    pub fn taken_from(allow: &[String]) -> (Older, Vec<String>) {
        let words = allow.iter().flat_map(|text| text.split(',')).map(str::trim);
        let (own, rules): (Vec<&str>, Vec<&str>) = words.partition(|word| *word == NAME);
        let older = if own.is_empty() { Older::Refuse } else { Older::Allow };
        (older, rules.into_iter().map(ToOwned::to_owned).collect())
    }

    /// Refuses `image` if its signature was verified, and a slot of `disk` holds one that was made later under the same
    /// name and tag. The dates are those of the images' configs, which the signatures cover.
    pub fn refuse(self, image: &Image, disk: &Disk) -> Result<()> {
        if !image.signature.verified || self == Older::Allow {
            return Ok(());
        }
        let name = image.reference.to_string();
        for slot in disk.table.slots.keys() {
            let holding = disk.files.holding(*slot)?;
            let same_name = holding.record().filter(|record| record.reference == name);
            let Some(held) = same_name.and_then(|record| record.created) else { continue };
            if image.created.is_none_or(|created| created < held) {
                let now = image.created.map_or_else(|| "no date".to_owned(), rfc3339);
                let found = format!(
                    "{name} is now an image of {now}, and slot {slot} holds one of {}: it was taken back in time",
                    rfc3339(held)
                );
                return Err(refused(found, format!("if that is meant: --allow {NAME}, or pin the digest")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_found_among_ids_of_rules() {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            Older::taken_from(&texts(&["login,older-image", "init"])),
            (Older::Allow, texts(&["login", "init"]))
        );
        assert_eq!(Older::taken_from(&texts(&["login"])), (Older::Refuse, texts(&["login"])));
    }
}
