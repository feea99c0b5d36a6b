//! Files in memory over a root that is only read.

use crate::error::Result;
use anyhow::Context;
use rustix::mount::{MountFlags, mount};
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

/// Folder of what belongs to a live root; the root gets it with `/run`.
pub const FOLDER: &str = "/run/flipslot";
/// Folder of the initramfs with what flipslot added to the image. It lies over the root, and stays when the initramfs is
/// given up.
pub const LAYER: &str = "/layer";
/// Folders that may be written with `flipslot.overlay=none`.
pub const WRITABLE: [&str; 2] = ["etc", "var"];
/// Memory in it for what is written.
pub const SCRATCH: &str = "/run/flipslot/scratch";

/// Mounts memory for what is written; of this size, as tmpfs(5) has it, or half of the machine's.
pub fn mount_scratch(size: Option<&str>) -> Result<()> {
    fs::create_dir_all(SCRATCH)?;
    let size = size.map(|size| format!(",size={size}")).unwrap_or_default();
    let options = CString::new(format!("mode=0755{size}")).context("reading flipslot.overlay=")?;
    mount(c"tmpfs", SCRATCH, c"tmpfs", MountFlags::NODEV, options.as_c_str())
        .with_context(|| format!("mounting memory for what is written ({})", options.to_string_lossy()))
}

/// Returns the lower folders of an overlay: the image at `base`, with the layer of flipslot over it, if there is one. The
/// first is the topmost.
pub fn lower_of(base: &str) -> String {
    if Path::new(LAYER).is_dir() { format!("{LAYER}:{base}") } else { base.to_owned() }
}

/// Mounts the folders of [`lower_of`] at `place`, for reading alone.
pub fn join(lower: &str, place: &str) -> Result<()> {
    let layers = CString::new(format!("lowerdir={lower}"))?;
    mount(c"overlay", place, c"overlay", MountFlags::RDONLY, layers.as_c_str())
        .with_context(|| format!("joining {lower}"))
}

/// Mounts `lower` at `place`, with the scratch `name` over it.
pub fn cover(lower: &str, place: &str, name: &str) -> Result<()> {
    let first = lower.split(':').next().unwrap_or(lower);
    let found = fs::metadata(first).with_context(|| format!("reading {first}"))?;
    let [upper, work] = ["upper", "work"].map(|part| format!("{SCRATCH}/{name}/{part}"));
    fs::create_dir_all(&upper).and_then(|()| fs::create_dir(&work)).context("making folders in memory")?;
    // The root of an overlay is the upper one.
    chown(&upper, Some(found.uid()), Some(found.gid()))?;
    fs::set_permissions(&upper, fs::Permissions::from_mode(found.mode() & 0o7777))?;
    let layers = CString::new(format!("lowerdir={lower},upperdir={upper},workdir={work}"))?;
    mount(c"overlay", place, c"overlay", MountFlags::empty(), layers.as_c_str())
        .with_context(|| format!("laying memory over {lower}"))
}

/// Makes one folder of a root writable; one that the root does not have stays missing.
pub fn cover_folder(root: &str, folder: &str) -> Result<()> {
    let place = format!("{root}/{folder}");
    let is_folder = fs::symlink_metadata(Path::new(&place)).is_ok_and(|found| found.is_dir());
    if is_folder { cover(&place, &place, folder) } else { Ok(()) }
}
