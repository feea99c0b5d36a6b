//! Copies the layer of flipslot over a root of files.

use crate::error::Result;
use crate::root::describe::describe;
use anyhow::Context;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use std::fs::{self, DirEntry};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, lchown, symlink};
use std::path::Path;

/// Copies all files of `layer`, whose folders may be missing in `root`. A device 0:0 removes what has its path (kernel:
/// filesystems/overlayfs.rst), and so does a folder where something else is: nothing is ever followed out of the root.
pub fn copy_layer(layer: &Path, root: &Path) -> Result<()> {
    let entries = match fs::read_dir(layer) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("reading {}", layer.display()))?,
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", layer.display()))?;
        let place = root.join(entry.file_name());
        copy(&entry, &place).with_context(|| format!("copying {}", place.display()))?;
    }
    Ok(())
}

fn copy(entry: &DirEntry, place: &Path) -> Result<()> {
    let found = entry.metadata()?;
    let there = match fs::symlink_metadata(place) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        there => Some(there?),
    };
    let kind = found.file_type();
    if kind.is_dir() {
        let is_folder = there.as_ref().is_some_and(fs::Metadata::is_dir);
        if there.is_some() && !is_folder {
            fs::remove_file(place)?;
        }
        if !is_folder {
            fs::create_dir(place)?;
        }
        copy_layer(&entry.path(), place)?;
        return describe(place, &entry.path(), &found);
    }
    match there {
        Some(there) if there.is_dir() => fs::remove_dir_all(place)?,
        Some(_) => fs::remove_file(place)?,
        None => {}
    }
    if kind.is_char_device() && found.rdev() == makedev(0, 0) {
        return Ok(());
    }
    if kind.is_symlink() {
        symlink(fs::read_link(entry.path())?, place)?;
        return Ok(lchown(place, Some(found.uid()), Some(found.gid()))?);
    }
    if kind.is_file() {
        fs::copy(entry.path(), place)?;
    } else {
        // A device or a FIFO, of a host's layer.
        let (kind, mode) = (FileType::from_raw_mode(found.mode()), Mode::from_raw_mode(found.mode()));
        mknodat(CWD, place, kind, mode, found.rdev())?;
    }
    describe(place, &entry.path(), &found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_layer_replaces_adds_and_removes_and_never_leaves_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let (layer, root) = (folder.path().join("layer"), folder.path().join("root"));
        let put = |path: &Path, text: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put(&root.join("etc/old"), "old");
        put(&root.join("etc/kept"), "kept");
        put(&root.join("etc/gone/deep"), "");
        put(&layer.join("etc/old"), "new");
        put(&layer.join("usr/sbin/flipslot"), "program");
        fs::set_permissions(layer.join("usr/sbin/flipslot"), fs::Permissions::from_mode(0o4755)).unwrap();
        symlink("../old", layer.join("etc/link")).unwrap();
        mknodat(CWD, layer.join("etc/fifo"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
        mknodat(CWD, layer.join("etc/gone"), FileType::CharacterDevice, Mode::empty(), makedev(0, 0)).unwrap();
        copy_layer(&layer, &root).unwrap();
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
        assert_eq!((read("etc/old"), read("etc/kept"), read("usr/sbin/flipslot")).0, "new");
        assert_eq!(read("etc/kept"), "kept");
        assert_eq!(fs::metadata(root.join("usr/sbin/flipslot")).unwrap().mode() & 0o7777, 0o4755);
        assert_eq!(fs::read_link(root.join("etc/link")).unwrap(), Path::new("../old"));
        assert!(!root.join("etc/gone").exists());
        assert_eq!(fs::metadata(root.join("etc/fifo")).unwrap().mode(), 0o010_640);

        fs::remove_dir_all(root.join("usr")).unwrap();
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        symlink(&outside, root.join("usr")).unwrap();
        put(&layer.join("usr/x"), "x");
        copy_layer(&layer, &root).unwrap();
        assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
        assert_eq!(read("usr/x"), "x");
    }
}
