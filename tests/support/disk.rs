//! A disk that the real program has made, in copies that a test may change, and what is where on it.

use crate::support::program::{Run, flipslot, tool, unmount};
use flipslot::boot::state::State;
use flipslot::disk::fat;
use flipslot::words::digest::Digest;
use rustix::fs::SeekFrom;
use serde_json::Value;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::{NamedTempFile, TempDir};

pub const MIB: u64 = 1 << 20;
/// Where the partitions are, in MiB.
pub const BOOT: Range<u64> = 2..66;
pub const SLOT_A: Range<u64> = 66..1090;
pub const SLOT_B: Range<u64> = 1090..2114;
pub const DATA: Range<u64> = 2114..2299;
/// The unit of a disk in bytes; a file on the boot partition begins at a whole one.
const SECTOR: usize = 512;
/// The disk's file in its folder.
pub const NAME: &str = "d.raw";

/// A disk file in a folder of its own.
pub struct Disk {
    folder: PathBuf,
    /// Removes the folder in the end.
    _temporary: Option<TempDir>,
}

impl Disk {
    /// Debian 12 in slot a, for QEMU's hardware, with a console and kernel words of its own; nothing
    /// in slot b; and a data partition with data in it.
    pub fn with(debian: &Path) -> Disk {
        let folder = tempfile::tempdir().unwrap();
        Disk { folder: folder.path().to_owned(), _temporary: Some(folder) }.copied(debian)
    }

    /// The same, made anew with more words.
    pub fn made(debian: &Path, words: &[&str]) -> Disk {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), debian, words);
        Disk { folder: folder.path().to_owned(), _temporary: Some(folder) }
    }

    /// The one that a test has made in `folder` by itself.
    pub fn at(folder: &Path) -> Disk {
        Disk { folder: folder.to_owned(), _temporary: None }
    }

    /// The same for tests that share it, and so never drop it: the next run takes its place.
    pub fn shared_with(debian: &Path, name: &str) -> Disk {
        let folder = folder_of_shared().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Disk { folder, _temporary: None }.copied(debian)
    }

    fn copied(self, debian: &Path) -> Disk {
        static MADE: OnceLock<PathBuf> = OnceLock::new();
        let made = MADE.get_or_init(|| make(&folder_of_shared(), debian, &[]));
        tool("cp", &["--sparse=always", "--reflink=auto", &made.to_string_lossy(), &self.path().to_string_lossy()]);
        self
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn path(&self) -> PathBuf {
        self.folder().join(NAME)
    }

    /// Its file, to be changed behind flipslot's back.
    pub fn file(&self) -> File {
        File::options().read(true).write(true).open(self.path()).unwrap()
    }

    /// Runs `flash` of `reference` into `slot` of this disk.
    pub fn flash(&self, reference: &str, slot: &str, more: &[&str]) -> Run {
        let arguments = ["flash", reference, "--disk", NAME, "--slot", slot, "--progress=none"];
        flipslot(self.folder(), &[&arguments[..], more].concat())
    }

    /// What `status --json` says.
    pub fn status(&self) -> Value {
        let run = flipslot(self.folder(), &["status", "--json", "--disk", NAME]);
        run.must_end(0, &[]);
        serde_json::from_str(&run.stdout).expect("status prints one JSON document")
    }

    /// What `status` tells people.
    pub fn status_text(&self) -> String {
        let run = flipslot(self.folder(), &["status", "--disk", NAME]);
        run.must_end(0, &[]);
        run.stdout
    }

    /// A digest of each MiB of the disk.
    pub fn content(&self) -> Vec<Digest> {
        let file = self.file();
        let zeros = vec![0; usize::try_from(MIB).unwrap()];
        let of_zeros = Digest::of(&zeros);
        let mut bytes = zeros.clone();
        let mebibytes = 0..file.metadata().unwrap().len() / MIB;
        let digests = mebibytes.map(|number| {
            file.read_exact_at(&mut bytes, number * MIB).unwrap();
            if bytes == zeros { of_zeros.clone() } else { Digest::of(&bytes) }
        });
        digests.collect()
    }

    /// The numbers of the MiB that are not what they were.
    pub fn changed_since(&self, before: &[Digest]) -> Vec<u64> {
        let now = self.content();
        assert_eq!(now.len(), before.len(), "the disk has the size it had");
        (0..)
            .zip(before.iter().zip(now))
            .filter(|(_, (before, now))| *before != now)
            .map(|(number, _)| number)
            .collect()
    }

    /// The bytes of some MiB.
    pub fn bytes(&self, mebibytes: Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from((mebibytes.end - mebibytes.start) * MIB).unwrap()];
        self.file().read_exact_at(&mut bytes, mebibytes.start * MIB).unwrap();
        bytes
    }

    /// A slot as a file of its own, for programs that know no offset.
    pub fn extracted(&self, slot: &Range<u64>) -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        let (from, to) = (format!("if={}", self.path().display()), format!("of={}", file.path().display()));
        let place = [format!("skip={}", slot.start), format!("count={}", slot.end - slot.start)];
        tool("dd", &["bs=1M", "conv=sparse", "status=none", &from, &to, &place[0], &place[1]]);
        file
    }

    /// A file of the boot partition, as mtools reads it.
    pub fn boot_file(&self, path: &str) -> String {
        tool("mcopy", &["-i", &self.boot_for_mtools(), &format!("::{path}"), "-"])
    }

    /// The boot partition as mtools names it.
    pub fn boot_for_mtools(&self) -> String {
        format!("{}@@{}M", self.path().display(), BOOT.start)
    }

    /// Where the bytes of a file lie in the boot partition.
    pub fn places(&self, path: &str) -> Vec<Range<u64>> {
        let runs = fat::extents(&self.file(), BOOT.start * MIB, path).unwrap().expect("the file is there");
        runs.into_iter().map(|(start, length)| start..start + length).collect()
    }

    /// Where the two copies of the state block begin on the disk. They are found by how they begin,
    /// at a sector of their own; GRUB's program holds the same text in the middle of one.
    pub fn state_copies(&self) -> [u64; 2] {
        let boot = self.bytes(BOOT);
        let sectors = boot.chunks(SECTOR).enumerate();
        let found = sectors.filter(|(_, sector)| sector.starts_with(b"# GRUB Environment Block\n"));
        let found: Vec<u64> = found.map(|(number, _)| BOOT.start * MIB + (number * SECTOR) as u64).collect();
        found.try_into().expect("there are two copies")
    }

    /// Puts `state` into both copies of the state block, as a command does.
    pub fn put_state(&self, state: State) {
        self.state_copies().iter().for_each(|copy| self.file().write_all_at(&state.render(), *copy).unwrap());
    }

    /// The filesystem of a slot as the tools of e2fsprogs name it, without a loop device.
    pub fn slot_for_e2fsprogs(&self, slot: &Range<u64>) -> String {
        format!("{}?offset={}", self.path().display(), slot.start * MIB)
    }

    /// Fails if e2fsck finds anything in the filesystem of a slot.
    pub fn must_be_clean(&self, slot: &Range<u64>) {
        tool("e2fsck", &["-f", "-n", &self.slot_for_e2fsprogs(slot)]);
    }

    /// Fails unless GRUB reads the kernel and the initramfs of a slot from its `filesystem`, as the
    /// slot's record has them, and the command line names that. `extracted` is the slot as a file.
    /// Returns the record.
    pub fn must_be_read_by_grub(&self, slot: &str, extracted: &Path, filesystem: &str) -> Value {
        let record: Value = serde_json::from_str(&self.boot_file(&format!("flipslot/slot-{slot}.json"))).unwrap();
        assert_eq!(record["filesystem"], filesystem);
        let entry = self.boot_file(&format!("flipslot/slot-{slot}.cfg"));
        assert_eq!(entry.matches("rootfstype=").count(), entry.matches(&format!("'rootfstype={filesystem}'")).count());
        assert!(entry.contains(&format!("'rootfstype={filesystem}'")), "{entry}");
        let copy = NamedTempFile::new().unwrap();
        for (place, digest) in [
            (&record["entry"]["kernel"]["path"], &record["entry"]["kernel_digest"]),
            (&record["entry"]["initramfs"], &record["entry"]["initramfs_digest"]),
        ] {
            let place = format!("(loop0)/{}", place.as_str().unwrap());
            tool("grub-fstest", &[&extracted.to_string_lossy(), "cp", &place, &copy.path().to_string_lossy()]);
            assert_eq!(*digest, Digest::of(&fs::read(copy.path()).unwrap()).to_string(), "{place}");
        }
        record
    }

    /// A loop device over some MiB of the disk, until it is dropped.
    pub fn attach(&self, mebibytes: &Range<u64>) -> Attached {
        let offset = format!("--offset={}MiB", mebibytes.start);
        let size = format!("--sizelimit={}MiB", mebibytes.end - mebibytes.start);
        let path = self.path().to_string_lossy().into_owned();
        Attached { device: tool("losetup", &["--find", "--show", &offset, &size, &path]).trim().to_owned() }
    }

    /// Shows `look` the filesystem of a slot, mounted and not written.
    pub fn look_into<T>(&self, slot: &Range<u64>, look: impl FnOnce(&Path) -> T) -> T {
        let attached = self.attach(slot);
        let place = tempfile::tempdir().unwrap();
        tool("mount", &["-t", "ext4", "-o", "ro,noload", &attached.device, &place.path().to_string_lossy()]);
        let mounted = Mounted { place };
        look(mounted.place.path())
    }
}

/// A hash of all that a file holds. Zeros are not read where they are holes, and count the same where they are not.
pub fn content_hash(path: &Path) -> blake3::Hash {
    const BLOCK: usize = 1 << 16;
    let file = File::open(path).unwrap();
    let (mut hasher, mut block, mut at) = (blake3::Hasher::new(), vec![0; BLOCK], 0);
    while let Ok(data) = rustix::fs::seek(&file, SeekFrom::Data(at)) {
        at = data - data % BLOCK as u64;
        let length = file.read_at(&mut block, at).unwrap();
        if block[..length].iter().any(|byte| *byte != 0) {
            hasher.update(&at.to_le_bytes()).update(&block[..length]);
        }
        at += BLOCK as u64;
    }
    hasher.update(&file.metadata().unwrap().len().to_le_bytes()).finalize()
}

/// Where tests keep what they share, in this run.
pub fn folder_of_shared() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli")
}

fn make(folder: &Path, debian: &Path, more: &[&str]) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let slot = format!("--slot=a=oci:{}:latest", debian.display());
    let words = ["--hardware=qemu", "--console=ttyS0", "--kargs=quiet"];
    let sizes = ["--size=2300MiB", "--slot-size=1GiB", "--data"];
    let create = ["create", NAME, "--yes", "--progress=none", &slot];
    let run = flipslot(folder, &[&create[..], &words, &sizes, more].concat());
    run.must_end(0, &[]);
    if more.contains(&"--overlay=data") {
        return folder.join(NAME);
    }
    let disk = File::options().write(true).open(folder.join(NAME)).unwrap();
    disk.write_all_at(&[0xda; 4096], DATA.start * MIB).unwrap();
    folder.join(NAME)
}

/// A loop device.
pub struct Attached {
    pub device: String,
}

impl Drop for Attached {
    fn drop(&mut self) {
        tool("losetup", &["--detach", &self.device]);
    }
}

/// A mount.
struct Mounted {
    place: TempDir,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(self.place.path());
    }
}
