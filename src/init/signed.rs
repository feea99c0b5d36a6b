//! Keys of the initramfs, for an image of a registry that a tag names (`flipslot.key=`).

use crate::error::{Result, failed};
use crate::oci::Image;
use crate::words::units::rfc3339;
use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};

/// Folder of the keys: `NAME.pub`, in PEM.
pub const KEYS: &str = "/keys";
/// File with the time of the oldest image that boots, in seconds since 1970: that of the image with which the initramfs
/// was made. An older one was signed, too, and may have holes that were found since.
pub const OLDEST: &str = "/keys/oldest";

/// Returns the files of the keys with these names.
pub fn files_of(names: &[String]) -> Vec<PathBuf> {
    names.iter().map(|name| Path::new(KEYS).join(format!("{name}.pub"))).collect()
}

/// Refuses an image that was made before the oldest that boots, or does not say when it was made.
pub fn refuse_older(image: &Image) -> Result<()> {
    let oldest = fs::read_to_string(OLDEST).with_context(|| format!("reading {OLDEST}"))?;
    let oldest = oldest.trim().parse().with_context(|| format!("reading {OLDEST}"))?;
    refuse_before(image.created, oldest)
}

fn refuse_before(made: Option<u64>, oldest: u64) -> Result<()> {
    match made {
        Some(made) if made >= oldest => Ok(()),
        made => {
            let made = made.map_or_else(
                || "does not say when it was made".to_owned(),
                |made| format!("was made at {}", rfc3339(made)),
            );
            let found = format!(
                "the image is signed but too old: it {made}, and this initramfs takes {} or later",
                rfc3339(oldest)
            );
            Err(failed(found, "push a newer image under this tag, or publish this one: flipslot netboot"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_older_than_the_initramfs_allows_is_refused() {
        refuse_before(Some(7), 7).unwrap();
        refuse_before(Some(8), 7).unwrap();
        let said = |made| refuse_before(made, 7).unwrap_err().to_string();
        assert!(
            said(Some(6)).contains("it was made at 1970-01-01T00:00:06Z, and this initramfs takes"),
            "{}",
            said(Some(6))
        );
        assert!(said(None).contains("does not say when it was made"));
    }

    #[test]
    fn a_name_leads_to_a_file_of_the_initramfs() {
        assert_eq!(files_of(&["ops".to_owned()]), [Path::new("/keys/ops.pub")]);
    }
}
