//! Disks made by the real program, each once.

use crate::images;
use flipslot::disk::fat;
use serde_json::Value;
use std::fs::File;
use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The initramfs of the disks, unless a scenario is about another one.
pub const OURS: &str = "--initramfs=flipslot";

/// Programs run at the same addresses each time: QEMU translates a program for each address anew, and with random ones
/// clearing the pages of one that has ended takes it up to a second each.
pub const SAME_ADDRESSES: &str = "--kargs=norandmaps";

/// Returns these flags, with [`OURS`] if they do not name an initramfs, and [`SAME_ADDRESSES`] if they have no words.
fn with_defaults<'f>(flags: &[&'f str]) -> Vec<&'f str> {
    let missing = |start: &str| !flags.iter().any(|flag| flag.starts_with(start));
    let ours = [OURS].into_iter().filter(|_| missing("--initramfs"));
    let same = [SAME_ADDRESSES].into_iter().filter(|_| missing("--kargs"));
    ours.chain(same).chain(flags.iter().copied()).collect()
}

/// A disk of one scenario, which takes it away when it ends; when it fails, the disk stays.
pub struct Scratch(PathBuf);

impl Scratch {
    /// None yet, with this file name.
    pub fn named(name: &str) -> Scratch {
        let path = folder().join(name);
        let _ = std::fs::remove_file(&path);
        Scratch(path)
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

/// Debian 12 in slot a, Debian 13 in slot b, for QEMU's own hardware.
pub fn qemu() -> &'static Path {
    static DISK: OnceLock<Scratch> = OnceLock::new();
    DISK.get_or_init(|| create("qemu", &["--hardware", "qemu"]))
}

/// The same for any hardware, with a console where QEMU shows it.
pub fn generic() -> &'static Path {
    static DISK: OnceLock<Scratch> = OnceLock::new();
    DISK.get_or_init(|| create("generic", &["--hardware", "generic", "--console", "ttyS0"]))
}

/// A copy of the disk for QEMU, for machines that keep what they write; their log begins anew.
pub fn lasting(name: &str) -> Scratch {
    let _ = std::fs::remove_file(crate::machine::log(name));
    copy(qemu(), name)
}

/// A copy of `disk` that a scenario may damage.
pub fn copy(disk: &Path, name: &str) -> Scratch {
    let copy = Scratch::named(&format!("{name}.raw"));
    run("cp", &["--sparse=always", "--reflink=auto", &disk.to_string_lossy(), &copy.to_string_lossy()]);
    copy
}

/// Returns where a slot begins and its size, in bytes.
pub fn place_of(disk: &Path, slot: char) -> (u64, u64) {
    let number = if slot == 'a' { "3" } else { "4" };
    let table = run("sgdisk", &["--info", number, &disk.to_string_lossy()]);
    let sectors = |what: &str| -> u64 {
        let line = table.lines().find_map(|line| line.strip_prefix(what)).expect("sgdisk says where a partition is");
        line.trim_start_matches(": ").split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
    };
    (sectors("First sector") * 512, sectors("Partition size") * 512)
}

/// Changes files of a slot of a disk that no machine runs from.
pub fn edit(disk: &Path, slot: char, change: impl FnOnce(&Path)) {
    let (start, size) = place_of(disk, slot);
    let place = folder().join(format!("{}-{slot}", disk.file_stem().unwrap_or_default().to_string_lossy()));
    std::fs::create_dir_all(&place).expect("a mount point can be made");
    let options = format!("loop,offset={start},sizelimit={size}");
    run("mount", &["-o", &options, &disk.to_string_lossy(), &place.to_string_lossy()]);
    change(&place);
    run("umount", &[&place.to_string_lossy()]);
}

/// Writes Debian 13 into slot b again, with these flags.
pub fn flash_b(disk: &Path, more: &[&str]) {
    let reference = format!("oci:{}:latest", images::layout("trixie").display());
    let disk = disk.to_string_lossy();
    let mut arguments = vec!["flash", &reference, "--slot=b", "--disk", &disk, "--progress=none"];
    arguments.extend(with_defaults(more));
    run(env!("CARGO_BIN_EXE_flipslot"), &arguments);
}

/// Rewrites the record of a slot of a disk that no machine runs from, such that it has the keys that flipslot 0.1
/// wrote, and no others.
pub fn age_record(disk: &Path, slot: char) {
    /// Where the boot partition begins, in bytes.
    const BOOT: u64 = 2 << 20;
    let old: Value = serde_json::from_str(include_str!("../tests/fixtures/disk-0.1/slot-a.json")).expect("it is JSON");
    let keep = |old: &Value, new: &mut Value| {
        let new = new.as_object_mut().expect("a record is an object");
        new.retain(|key, _| old.get(key).is_some());
    };
    let file = File::options().read(true).write(true).open(disk).expect("the disk can be opened");
    let path = format!("flipslot/slot-{slot}.json");
    let runs = fat::extents(&file, BOOT, &path).expect("FAT can be read").expect("the slot has a record");
    assert!(runs.windows(2).all(|pair| pair[0].0 + pair[0].1 == pair[1].0), "the record is in pieces: {runs:?}");
    let (offset, length) = (runs[0].0, runs.iter().map(|run| run.1).sum::<u64>());
    let mut bytes = vec![0; usize::try_from(length).expect("16 KiB")];
    file.read_exact_at(&mut bytes, BOOT + offset).expect("the record can be read");
    let mut record: Value = serde_json::from_slice(&bytes).expect("the record is JSON");
    keep(&old, &mut record);
    keep(&old["entry"], &mut record["entry"]);
    let size = bytes.len();
    bytes = record.to_string().into_bytes();
    bytes.resize(size, b' ');
    file.write_all_at(&bytes, BOOT + offset).expect("the record can be written");
}

/// A disk with a slot a alone.
#[derive(Debug, Clone, Copy)]
pub struct Single<'s> {
    pub name: &'s str,
    /// The OCI layout of the slot's image.
    pub layout: &'s Path,
}

impl Single<'_> {
    /// Makes it with these flags.
    pub fn made(self, more: &[impl AsRef<str>]) -> Scratch {
        let (disk, code, said) = self.create(more);
        assert_eq!(code, 0, "{}: {said}", self.name);
        disk
    }

    /// Tries to: the program finds what is wrong, and says this.
    pub fn refused(self, more: &[impl AsRef<str>]) -> String {
        let (_, code, said) = self.create(more);
        assert_eq!(code, 1, "{}: {said}", self.name);
        said
    }

    fn create(self, more: &[impl AsRef<str>]) -> (Scratch, i32, String) {
        let slot = format!("--slot=a=oci:{}:latest", self.layout.display());
        let disk = Scratch::named(&format!("{}.raw", self.name));
        let path = disk.to_string_lossy();
        let mut arguments = vec!["create", &path, "--size=3GiB", "--slots=1", "--yes", "--progress=none", &slot];
        arguments.extend(more.iter().map(AsRef::as_ref));
        let (code, said) = flipslot(&arguments);
        (disk, code, said)
    }
}

/// Runs a program that must succeed; returns what it printed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = ended(program, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?} failed:\n{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs the program that is tested; returns its exit code and what it printed, errors too if it
/// printed nothing else.
pub fn flipslot(arguments: &[&str]) -> (i32, String) {
    let output = ended(env!("CARGO_BIN_EXE_flipslot"), arguments);
    let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let code = output.status.code().expect("it was not killed");
    (code, String::from_utf8_lossy(&said).into_owned())
}

#[allow(clippy::disallowed_methods)] // tests start programs by themselves
fn ended(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// A disk with Debian 12 in slot a and Debian 13 in slot b.
pub fn create(name: &str, more: &[&str]) -> Scratch {
    let disk = Scratch::named(&format!("{name}.raw"));
    let slots = [("a", "bookworm"), ("b", "trixie")]
        .map(|(slot, suite)| format!("--slot={slot}=oci:{}:latest", images::layout(suite).display()));
    let path = disk.to_string_lossy();
    let mut arguments = vec!["create", &path, "--size=4GiB", "--yes", "--progress=plain", &slots[0], &slots[1]];
    arguments.extend(with_defaults(more));
    run(env!("CARGO_BIN_EXE_flipslot"), &arguments);
    disk
}

/// Where the disks are.
pub fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vm");
    std::fs::create_dir_all(&folder).expect("the folder of the disks can be made");
    folder
}
