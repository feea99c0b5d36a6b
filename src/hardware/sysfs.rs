//! Sysfs, a tree of one-line files and of links: a loop, a link that leads out and a missing file all read
//! as absent, and do no harm.

use crate::error::Result;
use anyhow::Context;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The largest attribute in bytes: a page of the kernel (kernel: filesystems/sysfs.rst).
const ATTRIBUTE_MAX: u64 = 4096;
/// The most entries read of a folder, more than one has on a machine with every possible disk and card.
const ENTRIES_MAX: usize = 1 << 16;

/// A sysfs: this machine's, or a copy of another one's.
#[derive(Debug, Clone)]
pub struct Sysfs {
    root: PathBuf,
    /// Folder that holds the folders of all devices: `/sys/devices`.
    devices: PathBuf,
}

impl Sysfs {
    /// Opens the sysfs that is mounted at `root`: `/sys`.
    pub fn at(root: &Path) -> Result<Sysfs> {
        let opening = || format!("opening {}, where the kernel lists its devices", root.display());
        let devices = fs::canonicalize(root.join("devices")).with_context(opening)?;
        Ok(Sysfs { root: fs::canonicalize(root).with_context(opening)?, devices })
    }

    /// Returns the full path of `path`, which is relative to this sysfs.
    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    /// Returns the device's own folder, if `link` leads to one.
    pub(super) fn device(&self, link: &Path) -> Option<PathBuf> {
        let folder = fs::canonicalize(link).ok()?;
        (folder.starts_with(&self.devices) && folder != self.devices && folder.is_dir()).then_some(folder)
    }

    /// Returns the path of a device's folder below `/sys/devices`; `None` for any other folder.
    pub(super) fn below_devices<'f>(&self, folder: &'f Path) -> Option<&'f Path> {
        folder.strip_prefix(&self.devices).ok().filter(|path| !path.as_os_str().is_empty())
    }
}

/// Reads the first line of an attribute, trimmed; returns `None` if it is missing or empty.
pub(super) fn text(attribute: &Path) -> Option<String> {
    if !attribute.is_file() {
        return None; // a pipe, for example, which would block
    }
    let mut bytes = Vec::new();
    File::open(attribute).ok()?.take(ATTRIBUTE_MAX).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    // Texts of a device tree end with a NUL (Devicetree Specification, 2.2.4).
    let line: String = text.lines().next()?.chars().filter(|c| !c.is_control()).collect();
    Some(line.trim().to_owned()).filter(|line| !line.is_empty())
}

/// Reads the number that an attribute holds; returns `None` if it holds none.
pub(super) fn number<N: std::str::FromStr>(attribute: &Path) -> Option<N> {
    text(attribute)?.parse().ok()
}

/// Returns the name of a link's target, such as a driver or a module.
pub(super) fn linked_name(link: &Path) -> Option<String> {
    Some(fs::read_link(link).ok()?.file_name()?.to_str()?.to_owned())
}

/// Lists the names in a folder, in the order in which the kernel counts: `sdb` before `sdaa`.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(ENTRIES_MAX);
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn an_attribute_is_its_first_line_without_what_no_text_has() {
        let folder = tempfile::tempdir().unwrap();
        let says = |bytes: &[u8]| {
            fs::write(folder.path().join("model"), bytes).unwrap();
            text(&folder.path().join("model"))
        };
        assert_eq!(says(b"  QEMU HARDDISK   \nmore\n").as_deref(), Some("QEMU HARDDISK"));
        assert_eq!(says(b"Raspberry Pi 4\0").as_deref(), Some("Raspberry Pi 4"));
        assert_eq!(says(b"evil\x1b[2J").as_deref(), Some("evil[2J"));
        assert_eq!(says(b" \n"), None);
        assert_eq!(says(&[b'x'; 10000]).unwrap().len(), 4096);
        assert_eq!(text(folder.path()), None);
    }

    #[test]
    fn a_device_is_below_devices_whatever_a_link_says() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("devices/pci/0000")).unwrap();
        fs::create_dir_all(root.join("elsewhere")).unwrap();
        for (link, target) in
            [("good", "devices/pci/0000"), ("out", "elsewhere"), ("all", "devices"), ("loop", "loop"), ("gone", "x")]
        {
            symlink(target, root.join(link)).unwrap();
        }
        let sysfs = Sysfs::at(root).unwrap();
        let device = |link: &str| sysfs.device(&root.join(link)).is_some();
        assert_eq!(["good", "out", "all", "loop", "gone"].map(device), [true, false, false, false, false]);
    }

    #[test]
    fn names_are_counted_as_the_kernel_counts() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["sdaa", "sdb", "sda"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(names(folder.path()), ["sda", "sdb", "sdaa"]);
    }
}
