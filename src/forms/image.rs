//! The form of a root as one file: a squashfs or an EROFS with exactly the tree of an image, and a description of it.

use crate::disk::new::file::{Existing, NewFile, folder_of};
use crate::error::{Result, refused, usage};
use crate::mount::lock::{Patience, lock};
use crate::oci::Image;
use crate::output::root_file::RootFileFacts;
use crate::publish::written_file::{WrittenFile, filled};
use crate::root::erofs::Identity;
use crate::root::packed::{Format, Packing};
use crate::root::walk::Walk;
use crate::words::digest::Digest;
use anyhow::Context;
use rustix::fs::lstat;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Attributes that hold POSIX ACLs (acl(5)), which a squashfs has no form for.
const ACLS: &[u8] = b"system.posix_acl_";

/// Longest wait for another run that gives files of the same folder their names.
const PATIENCE: Duration = Duration::from_secs(60);

/// A file to be made, with the description beside it.
pub struct RootFile {
    path: PathBuf,
    description: PathBuf,
    existing: Existing,
    packing: Packing,
}

impl RootFile {
    /// Names the files. Refuses to replace one that is there, unless that is allowed.
    pub fn of(path: &Path, existing: Existing, packing: Packing) -> Result<RootFile> {
        if path.file_name().and_then(|name| name.to_str()).is_none() {
            return Err(usage(format!("'{}' is not the name of a file", path.display()), "name the file to make"));
        }
        let mut description = path.to_owned().into_os_string();
        description.push(".json");
        let file = RootFile { path: path.to_owned(), description: description.into(), existing, packing };
        let there = [&file.path, &file.description].into_iter().find(|path| lstat(path.as_path()).is_ok());
        match there.filter(|_| existing == Existing::Refuse) {
            Some(path) => {
                Err(refused(format!("{} exists", path.display()), "replace it with --yes, or name another file"))
            }
            None => file.refuse_other_kinds(),
        }
    }

    /// Refuses to replace anything but a file.
    fn refuse_other_kinds(self) -> Result<RootFile> {
        let is_other = |path: &&PathBuf| fs::symlink_metadata(path).is_ok_and(|found| !found.is_file());
        if let Some(path) = [&self.path, &self.description].into_iter().find(is_other) {
            return Err(refused(format!("{} is there, and is not a file", path.display()), "name another file"));
        }
        Ok(self)
    }

    /// Writes the root of an image, and its description. Both appear when they are complete.
    pub fn write(&self, root: &dyn Walk, image: &Image) -> Result<RootFileFacts> {
        let new = NewFile::make(&self.path, self.existing, "partial")?;
        let identity = identity_of(image);
        self.packing.pack(root, identity, new.file(), &new.open_path())?;
        new.flush()?;
        let name = self.path.file_name().and_then(|name| name.to_str()).context("the file has no name")?;
        let acls = if self.packing.format == Format::Squashfs { files_with_acls(root)? } else { 0 };
        let facts = RootFileFacts::new(image, &self.packing, WrittenFile::of(name, new.file())?, acls);
        let text = serde_json::to_string_pretty(&facts)? + "\n";
        let description = filled(&self.description, "partial", self.existing, text.as_bytes())?;
        let folder = folder_of(&self.path);
        let locked = File::open(&folder).with_context(|| format!("opening {}", folder.display()))?;
        lock(&locked, &folder, Patience::Wait(PATIENCE))?;
        if self.existing == Existing::Replace {
            // No description is better than that of another file.
            let _ = fs::remove_file(&self.description);
        }
        new.publish()?;
        description.publish()?;
        Ok(facts)
    }
}

/// Returns the identity of a filesystem with this image's root.
pub fn identity_of(image: &Image) -> Identity {
    Identity { uuid: uuid_of(&image.digest), made: image.created.unwrap_or(0) }
}

/// Returns a UUID of version 8 (RFC 9562, 5.8) for a digest.
fn uuid_of(digest: &Digest) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digest.hex().as_bytes().chunks_exact(2)) {
        *byte = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or(0);
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid().into_bytes()
}

/// Counts the nodes that have POSIX ACLs.
fn files_with_acls(root: &dyn Walk) -> Result<u64> {
    let (mut count, mut counted) = (0, BTreeSet::new());
    root.walk(&mut |visited| {
        let has_acl = visited.meta.xattrs.iter().any(|(name, _)| name.starts_with(ACLS));
        if has_acl && (visited.links == 1 || counted.insert(visited.inode)) {
            count += 1;
        }
        Ok(())
    })?;
    Ok(count)
}
