//! The names of this machine's block devices: those in `/dev`, links of udev included.

use rustix::fs::{major, minor};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Folders in `/dev` that hold no block devices, but may hold many other files.
const OTHERS: [&str; 5] = ["shm", "mqueue", "hugepages", "pts", "char"];
/// Depth of the search below `/dev`: that of `/dev/disk/by-id/NAME`.
const DEPTH: u32 = 2;

/// Lists the names of all block devices, each with the device's numbers as in sysfs (`8:0`). Omits names that
/// are not UTF-8.
pub fn names() -> Vec<(String, String)> {
    let mut names = Vec::new();
    below(Path::new("/dev"), DEPTH, &mut names);
    names
}

fn below(folder: &Path, depth: u32, names: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder {
            if depth > 0 && !OTHERS.iter().any(|other| entry.file_name() == *other) {
                below(&path, depth - 1, names);
            }
            continue;
        }
        let device = fs::metadata(&path).ok().filter(|found| found.file_type().is_block_device());
        if let (Some(device), Some(path)) = (device, path.to_str()) {
            names.push((path.to_owned(), format!("{}:{}", major(device.rdev()), minor(device.rdev()))));
        }
    }
}
