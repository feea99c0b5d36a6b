//! Block maps: bmaptool copies the disk with them onto whatever was there before, and sees a byte that
//! was changed.

use crate::artifacts::{Lab, MIB, SIZE, SLOT, bytes, extract, must_be_whole};
use crate::support::program::{ended, tool};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::Command;

/// A device as large as the disk, full of bytes that are not zeros, as an old disk is. (A file would be
/// emptied by bmaptool.)
struct OldDisk {
    file: String,
    device: String,
}

impl OldDisk {
    fn new(lab: &Lab) -> OldDisk {
        let path = lab.path("old.img");
        let mut file = File::create(&path).unwrap();
        (0..SIZE).for_each(|_| file.write_all(&vec![0xff; usize::try_from(MIB).unwrap()]).unwrap());
        let device = tool("losetup", &["--find", "--show", &path]).trim().to_owned();
        OldDisk { file: path, device }
    }
}

impl Drop for OldDisk {
    fn drop(&mut self) {
        tool("losetup", &["--detach", &self.device]);
    }
}

#[test]
fn bmaptool_makes_the_same_disk_of_a_raw_and_of_a_compressed_one() {
    let lab = Lab::with(4 << 20);
    for name in ["d.raw", "d.raw.zst"] {
        lab.create(name, &["--sidecars"]).must_end(0, &[]);
        tool("bmaptool", &["copy", &lab.path(name), &lab.path("copy.raw")]);
        let raw = if name == "d.raw" {
            lab.path(name)
        } else {
            tool("zstd", &["-d", "-q", &lab.path(name), "-o", &lab.path("plain.raw")]);
            lab.path("plain.raw")
        };
        tool("cmp", &[&raw, &lab.path("copy.raw")]);
        fs::remove_file(lab.path("copy.raw")).unwrap();
    }
}

/// The log of the filesystem in `slot`, without what it says of itself in its beginning.
fn log_of(slot: &str, log: &str) -> Vec<u8> {
    let head = fs::read(slot).unwrap();
    if !head.starts_with(b"XFSB") {
        tool("debugfs", &["-R", &format!("dump <8> {log}"), slot]);
        return fs::read(log).unwrap();
    }
    // xfs_format.h, struct xfs_dsb: sb_logstart, sb_logblocks; ext4 and XFS here have blocks of 4 KiB.
    let number = |place: &str| tool("xfs_db", &["-r", "-f", "-c", "sb 0", "-c", &format!("print {place}"), slot]);
    let value = |place: &str| number(place).trim().rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    let (agblocks, agblklog, start) = (value("agblocks"), value("agblklog"), value("logstart"));
    let block = (start >> agblklog) * agblocks + (start & ((1 << agblklog) - 1));
    let mut bytes = vec![0; usize::try_from(value("logblocks") * 4096).unwrap()];
    File::open(slot).unwrap().read_exact_at(&mut bytes, block * 4096).unwrap();
    bytes
}

#[test]
fn what_an_old_disk_held_is_neither_in_tables_nor_in_filesystems_nor_in_their_logs() {
    let lab = Lab::new();
    for filesystem in ["ext4", "xfs"] {
        let more = ["--sidecars", "--yes", "--filesystem", filesystem, "--allow=driver-root"];
        lab.create("d.raw", &more).must_end(0, &[]);
        let old = OldDisk::new(&lab);
        tool("blockdev", &["--setrw", &old.device]);
        tool("bmaptool", &["copy", &lab.path("d.raw"), &old.device]);
        let copy = old.file.clone();
        let untouched = File::open(&copy).unwrap();
        let mut byte = [0];
        untouched.read_exact_at(&mut byte, (SLOT.end - 30) * MIB).unwrap();
        assert_eq!(byte, [0xff], "free space is not copied");
        must_be_whole(&copy);
        for part in [0..66, SIZE - 1..SIZE, SLOT.start..SLOT.start + 1, SLOT.end - 1..SLOT.end] {
            assert!(
                bytes(&copy, &part) == bytes(&lab.path("d.raw"), &part),
                "{filesystem}: MiB {part:?} is the disk's"
            );
        }
        extract(&copy, &SLOT, &lab.path("slot"));
        let log = log_of(&lab.path("slot"), &lab.path("log"));
        assert!(log.len() as u64 >= 4 * MIB, "{} bytes of log", log.len());
        let old = log.chunks(4096).filter(|block| block.iter().all(|byte| *byte == 0xff)).count();
        assert_eq!(old, 0, "{filesystem}: an old disk's blocks are in the log of {}", log.len() / 4096);
    }
}

#[test]
#[allow(clippy::disallowed_methods)] // tests start programs by themselves
fn bmaptool_refuses_a_disk_of_which_one_byte_was_changed() {
    let lab = Lab::with(4 << 20);
    lab.create("d.raw", &["--sidecars"]).must_end(0, &[]);
    let found = fs::read(lab.path("d.raw")).unwrap();
    let place = found.iter().rposition(|byte| *byte != 0 && *byte != 0xff).unwrap();
    let disk = File::options().write(true).open(lab.path("d.raw")).unwrap();
    disk.write_all_at(&[!found[place]], place as u64).unwrap();
    let run = ended(Command::new("bmaptool").args(["copy", &lab.path("d.raw"), &lab.path("copy.raw")]));
    run.must_end(1, &["checksum mismatch"]);
    disk.write_all_at(&[found[place]], place as u64).unwrap();
    let map = fs::read_to_string(lab.path("d.raw.bmap")).unwrap();
    fs::write(lab.path("d.raw.bmap"), map.replacen("> 0-", "> 1-", 1)).unwrap();
    let run = ended(Command::new("bmaptool").args(["copy", &lab.path("d.raw"), &lab.path("copy.raw")]));
    run.must_end(1, &["checksum"]);
}
