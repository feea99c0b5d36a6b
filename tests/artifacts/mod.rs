//! What `create` makes for a CI: other formats, block maps, manifests and sums, judged by qemu-img,
//! bmaptool, zstd and sha256sum; and the same again from the same inputs.

mod again;
mod bmap;
mod failures;
mod formats;
mod sidecars;

use crate::check::sound;
use crate::check::sound::VERSION;
use crate::support::program::{Run, command, ended, tool};
use crate::support::tar::file;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const MIB: u64 = 1 << 20;
/// Where things are on a disk of [`Lab`], in MiB.
const BOOT: Range<u64> = 2..66;
const SLOT: Range<u64> = 66..465;
const SIZE: u64 = 466;

/// A folder with a small image that boots by its own initramfs, its machine, and a folder for disks.
pub struct Lab(TempDir);

impl Lab {
    pub fn new() -> Lab {
        Lab::with(0)
    }

    /// The same with a file of so many bytes that do not compress.
    pub fn with(bulk: usize) -> Lab {
        let lab = Lab(tempfile::tempdir().unwrap());
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let random = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56).to_le_bytes()[0]
        });
        let files = [
            file(format!("boot/initrd.img-{VERSION}"), sound::own_initramfs("", "gzip")),
            file("etc/bulk", random.take(bulk).collect::<Vec<u8>>()),
        ];
        sound::image(&[files.to_vec()]).write(&lab.0.path().join("image"), "1");
        fs::write(lab.0.path().join("machine.json"), sound::machine().to_string()).unwrap();
        fs::create_dir(lab.out()).unwrap();
        lab
    }

    /// Where its disks are made.
    pub fn out(&self) -> PathBuf {
        self.0.path().join("out")
    }

    pub fn path(&self, name: &str) -> String {
        self.out().join(name).to_string_lossy().into_owned()
    }

    /// `create` of a disk with one slot, ready to run.
    pub fn command(&self, disk: &str, more: &[&str]) -> Command {
        let size = format!("--size={SIZE}MiB");
        let words = ["create", disk, &size, "--slots=1", "--slot=a=oci:../image:1"];
        let machine = ["--hardware=../machine.json", "--initramfs=image", "--progress=none"];
        let mut command = command(&self.out(), &[&words[..], &machine, more].concat());
        command.env_remove("SOURCE_DATE_EPOCH");
        command
    }

    pub fn create(&self, disk: &str, more: &[&str]) -> Run {
        ended(&mut self.command(disk, more))
    }

    /// The same, which must succeed, at a time that the environment says.
    pub fn create_at(&self, epoch: &str, disk: &str, more: &[&str]) -> Run {
        let run = ended(self.command(disk, more).env("SOURCE_DATE_EPOCH", epoch));
        run.must_end(0, &[]);
        run
    }
}

/// Some MiB of a disk file.
pub fn bytes(disk: &str, mebibytes: &Range<u64>) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from((mebibytes.end - mebibytes.start) * MIB).unwrap()];
    File::open(disk).unwrap().read_exact_at(&mut bytes, mebibytes.start * MIB).unwrap();
    bytes
}

/// Some MiB of a disk file as a file of their own.
pub fn extract(disk: &str, mebibytes: &Range<u64>, to: &str) {
    let place = [format!("skip={}", mebibytes.start), format!("count={}", mebibytes.end - mebibytes.start)];
    let files = [format!("if={disk}"), format!("of={to}")];
    tool("dd", &["bs=1M", "conv=sparse", "status=none", &files[0], &files[1], &place[0], &place[1]]);
}

/// Every file of a slot: its path, what it is, whose, from when, how large, and a hash of its content.
pub fn files_of(disk: &str, slot: &Range<u64>) -> Vec<String> {
    let place = tempfile::tempdir().unwrap();
    let place = place.path().to_string_lossy();
    let options = format!("ro,noload,loop,offset={},sizelimit={}", slot.start * MIB, (slot.end - slot.start) * MIB);
    tool("mount", &["-t", "ext4", "-o", &options, disk, &place]);
    let script = "cd \"$1\"; find . -printf '%p %y %m %U %G %T@ %n %l ' \\( -type d -printf '\\n' -o -printf '%s\\n' \\) \
                  | LC_ALL=C sort; find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum";
    let run = std::panic::catch_unwind(|| tool("sh", &["-ec", script, "sh", &place]));
    tool("umount", &[&place]);
    run.unwrap().lines().map(ToOwned::to_owned).collect()
}

/// Fails unless the disk is what `create` makes, for all who look at it.
pub fn must_be_whole(disk: &str) {
    let table = tool("sgdisk", &["--verify", disk]);
    assert!(table.contains("No problems found"), "{table}");
    let folder = tempfile::tempdir().unwrap();
    let part = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    extract(disk, &BOOT, &part("boot"));
    tool("fsck.vfat", &["-n", &part("boot")]);
    extract(disk, &SLOT, &part("slot"));
    match fs::read(part("slot")).unwrap().starts_with(b"XFSB") {
        true => tool("xfs_repair", &["-n", "-f", &part("slot")]),
        false => tool("e2fsck", &["-f", "-n", &part("slot")]),
    };
}

/// The names in a folder.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}
