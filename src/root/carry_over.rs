//! Carries files that belong to the machine, and not to an image, from the running slot into another one.

use crate::error::{Result, usage};
use crate::layer::LayerPath;
use crate::layer::entry::Time;
use crate::root::edit::Edit;
use crate::root::metadata;
use crate::root::tree::{Last, What};
use anyhow::Context;
use glob::{MatchOptions, glob_with};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
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
pub struct CarryOver {
    patterns: Vec<String>,
}

/// The files that are carried in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All that others than root may read, into a new slot.
    Public,
    /// The rest, such as the private keys of the machine, into a new slot.
    Secret,
    /// All that is newer than the slot's own copy.
    Newer,
}

impl CarryOver {
    /// Takes the patterns that the user listed: `None` is the default, the single word "none" stands for none at all.
    pub fn new(listed: Option<Vec<String>>) -> Result<CarryOver> {
        let patterns = match listed {
            None => DEFAULT.map(ToOwned::to_owned).to_vec(),
            Some(patterns) if patterns == [NONE] => Vec::new(),
            Some(patterns) => patterns,
        };
        CarryOver::of_record(patterns)
    }

    /// Takes the patterns of a slot's record. Refuses relative ones, and those of files that belong to the
    /// image.
    pub fn of_record(patterns: Vec<String>) -> Result<CarryOver> {
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
        Ok(CarryOver { patterns })
    }

    /// Returns the patterns, for the slot's record.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// Copies what the patterns name below `from`, with owner, mode, attributes and time, to the same paths of a
    /// root. Returns the paths that were written.
    pub fn carry(&self, from: &Path, to: &mut dyn Edit, which: Which) -> Result<Vec<String>> {
        let mut carry = Carry { from, to, which, carried: Vec::new() };
        for pattern in &self.patterns {
            let full = format!("{}{pattern}", glob::Pattern::escape(from.to_string_lossy().trim_end_matches('/')));
            let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
            for found in glob_with(&full, options).with_context(|| format!("looking for {pattern}"))? {
                let found = found.with_context(|| format!("looking for {pattern}"))?;
                carry.copy(&found).with_context(|| format!("carrying {} over", found.display()))?;
            }
        }
        Ok(carry.carried)
    }
}

/// Files on their way into a root.
struct Carry<'c> {
    from: &'c Path,
    to: &'c mut dyn Edit,
    which: Which,
    carried: Vec<String>,
}

impl Carry<'_> {
    /// Copies a file, a link, or a directory with all that is in it.
    fn copy(&mut self, source: &Path) -> Result<()> {
        let kind = fs::symlink_metadata(source)?;
        let inside = source.strip_prefix(self.from)?;
        if is_images_own(inside) {
            crate::stderr!("flipslot: {} belongs to the image: it is not carried over", source.display());
            return Ok(());
        }
        let folder = if kind.is_dir() { inside } else { inside.parent().unwrap_or(Path::new("")) };
        self.make_like(folder)?;
        if kind.is_dir() {
            let entries = fs::read_dir(source)?.map(|entry| Ok(entry?.path()));
            let mut entries: Vec<PathBuf> = entries.collect::<Result<_>>()?;
            entries.sort();
            return entries.iter().try_for_each(|entry| self.copy(entry));
        }
        if self.which != Which::Newer && (self.which == Which::Secret) != self.is_secret(inside, &kind)? {
            return Ok(());
        }
        if self.copy_one(source, &kind, &LayerPath::clean(inside.as_os_str().as_bytes())?)? {
            self.carried.push(format!("/{}", inside.display()));
        }
        Ok(())
    }

    /// Returns whether root alone can read a file, because of its own mode or of a folder's. A private key of
    /// OpenSSH may have a group that reads it (as in Fedora), and is secret all the same.
    fn is_secret(&self, inside: &Path, kind: &Metadata) -> Result<bool> {
        let is_host_key = inside.file_name().and_then(OsStr::to_str).is_some_and(|name| {
            name.starts_with("ssh_host_") && Path::new(name).extension().is_none_or(|ending| ending != "pub")
        });
        if is_host_key || (!kind.is_symlink() && kind.mode() & 0o044 == 0) {
            return Ok(true);
        }
        let mut folders = inside.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        folders.try_fold(false, |is_closed, folder| {
            Ok(is_closed || fs::metadata(self.from.join(folder))?.mode() & 0o011 == 0)
        })
    }

    /// Copies a file or a link; returns whether it was copied.
    fn copy_one(&mut self, source: &Path, kind: &Metadata, path: &LayerPath) -> Result<bool> {
        if kind.is_symlink() {
            if self.which == Which::Newer {
                return Ok(false); // it was carried over when the slot was written
            }
            self.to.put_symlink(path, fs::read_link(source)?.as_os_str().as_bytes())?;
            return Ok(true);
        }
        if !kind.is_file() || kind.len() > LARGEST {
            crate::stderr!("flipslot: {} is not a file of at most 64 MiB: it is not carried over", source.display());
            return Ok(false);
        }
        let mut file = File::open(source)?;
        let meta = metadata::get(&file)?;
        if self.which == Which::Newer && self.has_same_or_newer(path, &mut file, meta.mtime)? {
            return Ok(false);
        }
        file.rewind()?;
        self.to.put_file(path, &meta, &mut file)?;
        Ok(true)
    }

    /// Makes the directories of `folder` that the root lacks, each with the metadata that it has here.
    fn make_like(&mut self, folder: &Path) -> Result<()> {
        let mut above: Vec<&Path> = folder.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
        above.reverse();
        for folder in above {
            let path = LayerPath::clean(folder.as_os_str().as_bytes())?;
            let there = self.to.look_at(&path, Last::Follow)?.map(|found| found.what);
            if there != Some(What::Directory) {
                let meta = metadata::get(File::open(self.from.join(folder))?)?;
                self.to.put_directory(&path, &meta)?;
            }
        }
        Ok(())
    }

    /// Returns whether the root's own copy is as good: changed later, or equal.
    fn has_same_or_newer(&self, path: &LayerPath, source: &mut File, mtime: Time) -> Result<bool> {
        let found = self.to.look_at(path, Last::Follow)?.map(|found| found.what);
        let Some(What::File { size }) = found else { return Ok(false) };
        if self.to.meta(path)?.is_some_and(|meta| meta.mtime > mtime) {
            return Ok(true);
        }
        if size != source.metadata()?.len() {
            return Ok(false);
        }
        let Some(there) = self.to.open_at(path)? else { return Ok(false) };
        let (mut one, mut two) = (Vec::new(), Vec::new());
        source.read_to_end(&mut one)?;
        there.take(LARGEST).read_to_end(&mut two)?;
        Ok(one == two)
    }
}

/// Returns whether a path, with or without its leading slash, is in one of [`IMAGES_OWN`].
fn is_images_own(path: &Path) -> bool {
    let path = path.strip_prefix("/").unwrap_or(path);
    IMAGES_OWN.iter().any(|own| path.starts_with(own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::mounted::directory::Root;
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
        let carry = |which| CarryOver::new(None).unwrap().carry(&from, &mut Root::open(&to).unwrap(), which).unwrap();
        assert_eq!(carry(Which::Public), ["/etc/hostname"]);
        assert!(!to.join("etc/ssh/ssh_host_ed25519_key").exists());
        assert_eq!(carry(Which::Secret), ["/etc/ssh/ssh_host_ed25519_key"]);
        let key = to.join("etc/ssh/ssh_host_ed25519_key");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(to.join("etc/hostname")).unwrap(), from.as_os_str().as_bytes());
        assert!(!to.join("etc/ssh/sshd_config").exists());
    }

    #[test]
    fn what_root_alone_can_read_is_secret_and_so_is_every_private_host_key() {
        let (_folder, from, to) = two_slots();
        let put = |name: &str, mode| {
            fs::write(from.join(name), name).unwrap();
            fs::set_permissions(from.join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        put("etc/ssh/ssh_host_rsa_key", 0o640); // as in Fedora
        put("etc/ssh/ssh_host_rsa_key.pub", 0o644);
        fs::create_dir_all(from.join("etc/closed/in")).unwrap();
        put("etc/closed/in/token", 0o644);
        fs::set_permissions(from.join("etc/closed"), fs::Permissions::from_mode(0o700)).unwrap();
        put("etc/krb5.keytab", 0o600);
        let keep = CarryOver::new(Some(["/etc/ssh", "/etc/closed", "/etc/krb5.keytab"].map(String::from).to_vec()));
        let keep = keep.unwrap();
        let public = keep.carry(&from, &mut Root::open(&to).unwrap(), Which::Public).unwrap();
        assert_eq!(public, ["/etc/ssh/ssh_host_rsa_key.pub", "/etc/ssh/sshd_config"]);
        let secret = keep.carry(&from, &mut Root::open(&to).unwrap(), Which::Secret).unwrap();
        let keys = ["ed25519", "rsa"].map(|kind| format!("/etc/ssh/ssh_host_{kind}_key"));
        let [one, two] = &keys;
        assert_eq!(secret, [one, two, "/etc/closed/in/token", "/etc/krb5.keytab"]);
    }

    #[test]
    fn on_the_way_back_the_newer_copy_counts() {
        let (_folder, from, to) = two_slots();
        let mut root = Root::open(&to).unwrap();
        let keep = CarryOver::new(Some(vec!["/etc/hostname".to_owned(), "/etc/ssh".to_owned()])).unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH;
        File::options().write(true).open(from.join("etc/hostname")).unwrap().set_modified(old).unwrap();
        fs::set_permissions(from.join("etc/ssh"), fs::Permissions::from_mode(0o700)).unwrap();
        let carried = keep.carry(&from, &mut root, Which::Newer).unwrap();
        assert_eq!(fs::metadata(to.join("etc/ssh")).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(carried, ["/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/sshd_config"]);
        assert_eq!(keep.carry(&from, &mut root, Which::Newer).unwrap(), Vec::<String>::new(), "nothing changed since");
        fs::write(from.join("etc/hostname"), "new").unwrap();
        assert_eq!(keep.carry(&from, &mut root, Which::Newer).unwrap(), ["/etc/hostname"]);
    }

    #[test]
    fn what_is_no_absolute_path_is_refused_and_none_is_none() {
        for odd in ["/", "//usr/bin/env", "/boot", "etc/hostname", "/etc/../shadow", "/etc/[", "none"] {
            assert!(CarryOver::new(Some(vec![odd.to_owned(), "/etc/hostname".to_owned()])).is_err(), "{odd}");
        }
        assert!(CarryOver::new(Some(vec!["none".to_owned()])).unwrap().patterns().is_empty());
    }
}
