//! Keys for machines that boot what a tag names then: their initramfs holds them (init/signed.rs).

use crate::archive::write_cpio::Archive;
use crate::error::{Result, usage};
use crate::init::signed::{KEYS, OLDEST};
use crate::words::host_name::is_host_name;
use anyhow::Context;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

/// Public keys by their names, as `flipslot.key=` has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys(Vec<(String, PathBuf)>);

impl Keys {
    /// Names keys by their files: `ops.pub` is `ops`. Refuses a name that a file of a boot loader could misread, and two
    /// that are equal.
    pub fn of(files: &[PathBuf]) -> Result<Keys> {
        let mut keys: Vec<(String, PathBuf)> = Vec::new();
        for file in files {
            let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if !is_host_name(&name) || keys.iter().any(|(known, _)| *known == name) {
                let found =
                    format!("the key {} cannot be named '{}' in the initramfs", file.display(), name.escape_debug());
                return Err(usage(
                    found,
                    "give each key a file name of its own, of lower-case letters, digits and '-': ops.pub",
                ));
            }
            keys.push((name, file.clone()));
        }
        Ok(Keys(keys))
    }

    /// Returns the names, separated by commas.
    pub fn names(&self) -> String {
        self.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",")
    }

    /// Writes an archive for the initramfs: the keys, and the time of the oldest image that boots, in seconds since 1970.
    pub fn write(&self, oldest: u64, out: impl Write) -> Result<()> {
        let mut archive = Archive::to(out);
        let root = (0, 0, 0);
        let within = |path: &str| path.trim_start_matches('/').to_owned();
        archive.add_owned(&within(KEYS), 0o40_755, root, &[])?;
        for (name, file) in &self.0 {
            let pem = fs::read(file).with_context(|| format!("reading the key {}", file.display()))?;
            archive.add_owned(&within(&format!("{KEYS}/{name}.pub")), 0o100_644, root, &pem)?;
        }
        archive.add_owned(&within(OLDEST), 0o100_644, root, format!("{oldest}\n").as_bytes())?;
        archive.finish().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_its_file() {
        let of = |files: &[&str]| Keys::of(&files.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(of(&["/etc/keys/ops.pub", "new.pem"]).unwrap().names(), "ops,new");
        assert!(of(&["a/ops.pub", "b/ops.pub"]).is_err() && of(&["a,b.pub"]).is_err());
    }
}
