//! A golden disk, disks to write it to, and what other programs say of a copy.

use crate::cli::images;
use crate::support::disk::{BOOT, DATA, Disk, MIB};
use crate::support::program::{Run, flipslot, tool};
use flipslot::words::digest::Digest;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Debian 12 in slot a, nothing in slot b, ext4 in data. Nobody changes it.
pub fn golden() -> PathBuf {
    static GOLDEN: OnceLock<PathBuf> = OnceLock::new();
    let made = || {
        let disk = Disk::shared_with(&images::debian(), "golden");
        format_data(&disk.path());
        disk.path()
    };
    GOLDEN.get_or_init(made).clone()
}

/// Makes an ext4 filesystem in `data`, with a UUID that is known.
pub fn format_data(disk: &Path) {
    let offset = format!("lazy_itable_init=1,offset={}", DATA.start * MIB);
    let size = format!("{}k", (DATA.end - DATA.start) * 1024);
    tool("mke2fs", &["-q", "-F", "-t", "ext4", "-E", &offset, &disk.to_string_lossy(), &size]);
}

/// Runs `clone` of `source` to `targets` in `folder`.
pub fn clone(folder: &Path, source: &Path, targets: &[&str], more: &[&str]) -> Run {
    let source = source.to_string_lossy();
    flipslot(folder, &[&["clone", &source][..], targets, &["--progress=none"], more].concat())
}

/// The JSON that it printed.
pub fn result(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", run.stdout, run.stderr))
}

/// A block device: a loop over a sparse file, until it is dropped.
pub struct LoopDisk {
    pub device: String,
    pub file: PathBuf,
}

impl LoopDisk {
    /// One of `size` MiB over `file`, which is made if it is not there.
    pub fn over(file: &Path, size: u64) -> LoopDisk {
        File::options().create(true).truncate(false).write(true).open(file).unwrap().set_len(size * MIB).unwrap();
        let device = tool("losetup", &["--find", "--show", &file.to_string_lossy()]).trim().to_owned();
        LoopDisk { device, file: file.to_owned() }
    }

    /// The word that this disk is meant: a loop device is known by its file.
    pub fn meant(&self) -> String {
        format!("--expect-serial={}", self.file.canonicalize().unwrap().display())
    }

    /// Writes through the device, as far as the file.
    pub fn write(&self, bytes: &[u8], offset: u64) {
        let device = File::options().write(true).open(&self.device).unwrap();
        device.write_all_at(bytes, offset).unwrap();
        device.sync_all().unwrap();
    }

    pub fn bytes(&self, mebibyte: u64) -> Vec<u8> {
        bytes(&self.file, mebibyte)
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        tool("losetup", &["--detach", &self.device]);
    }
}

/// One MiB of a disk file.
pub fn bytes(disk: &Path, mebibyte: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(MIB).unwrap()];
    File::open(disk).unwrap().read_exact_at(&mut bytes, mebibyte * MIB).unwrap();
    bytes
}

pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Fails unless sgdisk, e2fsck and fsck.vfat find nothing wrong with a copy.
pub fn must_be_sound(disk: &Path) {
    let name = disk.to_string_lossy();
    let said = tool("sgdisk", &["--verify", &name]);
    assert!(said.contains("No problems found"), "{said}");
    for start in filesystems(disk) {
        tool("e2fsck", &["-f", "-n", &format!("{name}?offset={}", start * MIB)]);
    }
    let boot = tempfile::NamedTempFile::new().unwrap();
    let mebibytes: Vec<u8> = BOOT.flat_map(|mebibyte| bytes(disk, mebibyte)).collect();
    fs::write(boot.path(), mebibytes).unwrap();
    tool("fsck.vfat", &["-n", &boot.path().to_string_lossy()]);
}

/// Where ext4 begins, in MiB.
fn filesystems(disk: &Path) -> Vec<u64> {
    let is_ext4 = |start: &u64| bytes(disk, *start)[1024 + 0x38..1024 + 0x3a] == [0x53, 0xef];
    [crate::support::disk::SLOT_A.start, DATA.start].into_iter().filter(is_ext4).collect()
}

/// Every GUID and UUID of a disk, as sgdisk and blkid tell them.
pub fn names(disk: &Path) -> BTreeSet<String> {
    let path = disk.to_string_lossy();
    let table = tool("sgdisk", &["--print", &path]);
    let after = |text: &str, mark: &str| {
        text.lines().find_map(|line| line.strip_prefix(mark)).map(|rest| rest.trim().to_ascii_lowercase())
    };
    let mut names = BTreeSet::from_iter(after(&table, "Disk identifier (GUID):"));
    for number in 1..=5 {
        let info = tool("sgdisk", &["--info", &number.to_string(), &path]);
        names.extend(after(&info, "Partition unique GUID:"));
    }
    for start in filesystems(disk).into_iter().chain([BOOT.start]) {
        let offset = format!("--offset={}", start * MIB);
        names.insert(tool("blkid", &["-p", "-o", "value", "-s", "UUID", &offset, &path]).trim().to_ascii_lowercase());
    }
    names
}

/// The file of a copy's boot partition.
pub fn boot_file(disk: &Path, path: &str) -> String {
    let boot = format!("{}@@{}M", disk.display(), BOOT.start);
    tool("mcopy", &["-i", &boot, &format!("::{path}"), "-"])
}

/// What docs/clone.md says that the hash is.
pub fn hash_of(disk: &Path, end: u64) -> String {
    let sums: String = (1..end).map(|mebibyte| Digest::of(&bytes(disk, mebibyte)).hex().to_owned()).collect();
    let pairs = (0..sums.len()).step_by(2).map(|at| u8::from_str_radix(&sums[at..at + 2], 16).unwrap());
    Digest::of(&pairs.collect::<Vec<u8>>()).to_string()
}
