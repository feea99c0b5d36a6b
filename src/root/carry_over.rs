//! Carries files that belong to the machine, and not to an image, from the running slot into another one.

use crate::error::{Result, usage};
use crate::layer::LayerPath;
use crate::root::metadata;
use crate::root::mounted::directory::Root;
use crate::root::mounted::put;
use anyhow::Context;
use glob::{MatchOptions, glob_with};
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Files carried by default: the identity of the machine to its network and its users.
const DEFAULT: [&str; 3] = ["/etc/machine-id", "/etc/ssh/ssh_host_*", "/etc/hostname"];
/// Folders that belong to the image: they were verified, and a jump checks them.
const IMAGES_OWN: [&str; 6] = ["boot", "usr", "lib", "lib64", "bin", "sbin"];
/// The word for no file at all.
const NONE: &str = "none";
/// Largest file that is carried, in bytes: such files are configuration, and a larger one would fill the
/// slot.
const LARGEST: u64 = 64 << 20;

/// Absolute paths and patterns (glob(7)) of files to carry over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    patterns: Vec<String>,
}

/// The choice between two copies of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The running slot's copy.
    Running,
    /// The copy that was changed last.
    Newer,
}

impl Keep {
    /// Takes the patterns that the user listed: `None` is the default, the single word "none" is no file.
    pub fn new(listed: Option<Vec<String>>) -> Result<Keep> {
        let patterns = match listed {
            None => DEFAULT.map(ToOwned::to_owned).to_vec(),
            Some(patterns) if patterns == [NONE] => Vec::new(),
            Some(patterns) => patterns,
        };
        Keep::of_record(patterns)
    }

    /// Takes the patterns of a slot's record. Refuses relative ones, and those of files that belong to the
    /// image.
    pub fn of_record(patterns: Vec<String>) -> Result<Keep> {
        for pattern in &patterns {
            let is_plain = Path::new(pattern).components().all(|part| part != std::path::Component::ParentDir);
            let is_root = Path::new(pattern).parent().is_none();
            if is_root || !pattern.starts_with('/') || !is_plain || glob::Pattern::new(pattern).is_err() {
                return Err(usage(
                    format!("--keep {pattern} is not an absolute path or pattern"),
                    "write --keep /etc/hostname, --keep '/etc/ssh/ssh_host_*', or --keep none",
                ));
            }
        }
        if let Some(pattern) = patterns.iter().find(|pattern| is_images_own(Path::new(pattern))) {
            return Err(usage(
                format!("--keep {pattern} would replace what makes the slot boot"),
                "keep files of the machine, such as those in /etc and /var",
            ));
        }
        Ok(Keep { patterns })
    }

    /// Returns the patterns, for the slot's record.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// Copies what the patterns name below `from`, with owner, mode, attributes and time, to the
    /// same paths of a slot. Returns the paths that were written.
    pub fn carry(&self, from: &Path, to: &Root, which: Which) -> Result<Vec<String>> {
        let mut carried = Vec::new();
        for pattern in &self.patterns {
            let full = format!("{}{pattern}", glob::Pattern::escape(from.to_string_lossy().trim_end_matches('/')));
            let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
            for found in glob_with(&full, options).with_context(|| format!("looking for {pattern}"))? {
                let found = found.with_context(|| format!("looking for {pattern}"))?;
                copy(from, &found, to, which, &mut carried)
                    .with_context(|| format!("carrying {} over", found.display()))?;
            }
        }
        Ok(carried)
    }
}

fn copy(from: &Path, source: &Path, to: &Root, which: Which, carried: &mut Vec<String>) -> Result<()> {
    let kind = fs::symlink_metadata(source)?;
    let inside = source.strip_prefix(from)?;
    if is_images_own(inside) {
        crate::tell!("flipslot: {} belongs to the image: it is not carried over", source.display());
        return Ok(());
    }
    let path = LayerPath::clean(inside.as_os_str().as_bytes())?;
    let folder = if kind.is_dir() { inside } else { inside.parent().unwrap_or(Path::new("")) };
    make_like(from, folder, to)?;
    if kind.is_dir() {
        let mut entries: Vec<PathBuf> = fs::read_dir(source)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        entries.sort();
        return entries.iter().try_for_each(|entry| copy(from, entry, to, which, carried));
    }
    if kind.is_symlink() {
        if which == Which::Newer {
            return Ok(()); // it was carried over when the slot was written
        }
        put::symlink(to, &path, fs::read_link(source)?.as_os_str().as_bytes())?;
    } else if kind.is_file() && kind.len() <= LARGEST {
        let mut file = File::open(source)?;
        let meta = metadata::get(&file)?;
        if which == Which::Newer && is_same_or_newer(to, &path, &mut file, meta.mtime)? {
            return Ok(());
        }
        file.rewind()?;
        put::file(to, &path, &meta, &mut file)?;
    } else {
        crate::tell!("flipslot: {} is not a file of at most 64 MiB: it is not carried over", source.display());
        return Ok(());
    }
    carried.push(format!("/{}", inside.display()));
    Ok(())
}

/// Makes the directories of `folder` that the slot lacks, each with the metadata that it has here.
fn make_like(from: &Path, folder: &Path, to: &Root) -> Result<()> {
    let mut above: Vec<&Path> = folder.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
    above.reverse();
    for folder in above {
        let path = LayerPath::clean(folder.as_os_str().as_bytes())?;
        if to.directory(&path).is_err() {
            put::directory(to, &path, &metadata::get(File::open(from.join(folder))?)?)?;
        }
    }
    Ok(())
}

/// Returns whether a path, with or without its leading slash, is in one of [`IMAGES_OWN`].
fn is_images_own(path: &Path) -> bool {
    let path = path.strip_prefix("/").unwrap_or(path);
    IMAGES_OWN.iter().any(|own| path.starts_with(own))
}

/// Returns whether the slot's own copy is as good: changed later, or equal.
fn is_same_or_newer(to: &Root, path: &LayerPath, source: &mut File, mtime: (i64, u32)) -> Result<bool> {
    let Ok(mut there) = to.file(path) else { return Ok(false) };
    if metadata::get(&there)?.mtime > mtime {
        return Ok(true);
    }
    let (mut one, mut two) = (Vec::new(), Vec::new());
    source.read_to_end(&mut one)?;
    there.read_to_end(&mut two)?;
    Ok(one == two)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn two_slots() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        for slot in [&from, &to] {
            fs::create_dir_all(slot.join("etc")).unwrap();
            fs::write(slot.join("etc/hostname"), slot.as_os_str().as_bytes()).unwrap();
        }
        fs::create_dir_all(from.join("etc/ssh")).unwrap();
        fs::write(from.join("etc/ssh/ssh_host_ed25519_key"), "secret").unwrap();
        fs::set_permissions(from.join("etc/ssh/ssh_host_ed25519_key"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(from.join("etc/ssh/sshd_config"), "not the machine's").unwrap();
        (folder, from, to)
    }

    #[test]
    fn the_default_is_who_the_machine_is() {
        let (_folder, from, to) = two_slots();
        let carried = Keep::new(None).unwrap().carry(&from, &Root::open(&to).unwrap(), Which::Running).unwrap();
        assert_eq!(carried, ["/etc/ssh/ssh_host_ed25519_key", "/etc/hostname"]);
        let key = to.join("etc/ssh/ssh_host_ed25519_key");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(to.join("etc/hostname")).unwrap(), from.as_os_str().as_bytes());
        assert!(!to.join("etc/ssh/sshd_config").exists());
    }

    #[test]
    fn on_the_way_back_the_newer_copy_counts() {
        let (_folder, from, to) = two_slots();
        let root = Root::open(&to).unwrap();
        let keep = Keep::new(Some(vec!["/etc/hostname".to_owned(), "/etc/ssh".to_owned()])).unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH;
        File::options().write(true).open(from.join("etc/hostname")).unwrap().set_modified(old).unwrap();
        fs::set_permissions(from.join("etc/ssh"), fs::Permissions::from_mode(0o700)).unwrap();
        let carried = keep.carry(&from, &root, Which::Newer).unwrap();
        assert_eq!(fs::metadata(to.join("etc/ssh")).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(carried, ["/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/sshd_config"]);
        assert_eq!(keep.carry(&from, &root, Which::Newer).unwrap(), Vec::<String>::new(), "nothing changed since");
        fs::write(from.join("etc/hostname"), "new").unwrap();
        assert_eq!(keep.carry(&from, &root, Which::Newer).unwrap(), ["/etc/hostname"]);
    }

    #[test]
    fn what_is_no_absolute_path_is_refused_and_none_is_none() {
        for odd in ["/", "//usr/bin/env", "/boot", "etc/hostname", "/etc/../shadow", "/etc/[", "none"] {
            assert!(Keep::new(Some(vec![odd.to_owned(), "/etc/hostname".to_owned()])).is_err(), "{odd}");
        }
        assert!(Keep::new(Some(vec!["none".to_owned()])).unwrap().patterns().is_empty());
    }
}
