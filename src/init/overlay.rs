//! Files in memory over a root that is only read.

use crate::error::Result;
use anyhow::Context;
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

/// Folder of what belongs to a live root; the root gets it with `/run`.
pub const FOLDER: &str = "/run/flipslot";
/// Place at which the device of an image is mounted that is a file of it.
pub const MEDIUM: &str = "/run/flipslot/medium";
/// Place at which the data partition is mounted that keeps what is written.
pub const DATA: &str = "/run/flipslot/data";
/// Folder in the data partition, with a folder for each slot, and in that one for each image.
pub const KEPT: &str = "/flipslot/overlay";
/// File in the folder of a slot that asks for what it keeps to be removed at the next start.
pub const RESET: &str = "reset";
/// Folder of the initramfs with what flipslot added to the image. It lies over the root, and stays when the initramfs is
/// given up.
pub const LAYER: &str = "/layer";
/// Folders that may be written with `flipslot.overlay=none`.
pub const WRITABLE: [&str; 2] = ["etc", "var"];
/// Path of the root in a slot whose root is one file.
pub const ROOT_OF_SLOT: &str = "/flipslot/root";
/// End of the name of the tree of hashes beside such a root, by which the kernel compares its blocks.
pub const TREE_OF_ROOT: &str = ".verity";
/// Folder with flipslot's layer in such a slot.
pub const LAYER_OF_SLOT: &str = "/flipslot/layer";
/// Memory in [`FOLDER`] for what is written.
pub const SCRATCH: &str = "/run/flipslot/scratch";

/// Mounts memory for what is written; of this size, as tmpfs(5) has it, or half of the machine's.
pub fn mount_scratch(size: Option<&str>) -> Result<()> {
    fs::create_dir_all(SCRATCH)?;
    let size = size.map(|size| format!(",size={size}")).unwrap_or_default();
    let options = CString::new(format!("mode=0755{size}")).context("reading flipslot.overlay=")?;
    mount(c"tmpfs", SCRATCH, c"tmpfs", MountFlags::NODEV, options.as_c_str())
        .with_context(|| format!("mounting memory for what is written ({})", options.to_string_lossy()))
}

/// Returns the lower folders of an overlay: the image at `base`, with the layer of flipslot over it, if there is one, and
/// those of the host, the lowest first. The first of the result is the topmost.
pub fn lower_of(base: &str, layers: &[&str]) -> String {
    let ours = [LAYER.to_owned(), format!("{MEDIUM}{LAYER_OF_SLOT}")];
    let ours = ours.into_iter().filter(|layer| Path::new(layer).is_dir());
    layers.iter().rev().map(ToString::to_string).chain(ours).chain([base.to_owned()]).collect::<Vec<_>>().join(":")
}

/// Mounts the folders of [`lower_of`] at `place`, for reading alone.
pub fn join(lower: &str, place: &str) -> Result<()> {
    let layers = CString::new(format!("lowerdir={lower}"))?;
    mount(c"overlay", place, c"overlay", MountFlags::RDONLY, layers.as_c_str())
        .with_context(|| format!("joining {lower}"))
}

/// Mounts `lower` at `place`, with what is written in `folder` over it.
pub fn cover(lower: &str, place: &str, folder: &str) -> Result<()> {
    let first = lower.split(':').next().unwrap_or(lower);
    let found = fs::metadata(first).with_context(|| format!("reading {first}"))?;
    let [upper, work] = ["upper", "work"].map(|part| format!("{folder}/{part}"));
    [&upper, &work].into_iter().try_for_each(fs::create_dir_all).context("making folders for what is written")?;
    // The root of an overlay is the upper one.
    chown(&upper, Some(found.uid()), Some(found.gid()))?;
    fs::set_permissions(&upper, fs::Permissions::from_mode(found.mode() & 0o7777))?;
    // An index would tie what was written to this very filesystem; a copy of the disk has another one. Kernels before 4.13
    // do not know the word.
    let mount = |more: &str| -> Result<rustix::io::Result<()>> {
        let layers = CString::new(format!("lowerdir={lower},upperdir={upper},workdir={work}{more}"))?;
        Ok(mount(c"overlay", place, c"overlay", MountFlags::empty(), layers.as_c_str()))
    };
    let mounted = match mount(",index=off")? {
        Err(Errno::INVAL) => mount("")?,
        mounted => mounted,
    };
    mounted.with_context(|| format!("laying {folder} over {lower}"))
}

/// Returns the folder in the data partition that keeps what a slot has written over the root with this digest, and no
/// other. It is emptied first, if that was asked for.
pub fn kept(slot: &str, digest: &str) -> Result<String> {
    let of_slot = format!("{DATA}{KEPT}/{slot}");
    let folder = format!("{of_slot}/{digest}");
    let asked = format!("{of_slot}/{RESET}");
    if Path::new(&asked).exists() {
        for entry in fs::read_dir(&of_slot).context("reading what was kept")?.flatten() {
            if entry.file_name() != RESET {
                fs::remove_dir_all(entry.path()).with_context(|| format!("removing {}", entry.path().display()))?;
            }
        }
        fs::remove_file(&asked).with_context(|| format!("removing {asked}"))?; // last: one that was cut goes on
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {folder}"))?;
    fs::set_permissions(format!("{DATA}{KEPT}"), fs::Permissions::from_mode(0o700))?;
    Ok(folder)
}

/// Makes one folder of a root writable; one that the root does not have stays missing.
pub fn cover_folder(root: &str, folder: &str) -> Result<()> {
    let place = format!("{root}/{folder}");
    let is_folder = fs::symlink_metadata(Path::new(&place)).is_ok_and(|found| found.is_dir());
    if is_folder { cover(&place, &place, &format!("{SCRATCH}/{folder}")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_are_those_that_are_there() {
        assert_eq!(lower_of("/run/flipslot/base", &[]), "/run/flipslot/base", "this machine has no others");
        assert_eq!(lower_of("/base", &["/low", "/top"]), "/top:/low:/base");
    }
}
