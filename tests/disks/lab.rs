//! Disks to refuse: loop devices over sparse files, put to every use that a real disk has, and what must
//! be said about each.

use crate::cli::images;
use crate::support::disk::content_hash;
use crate::support::program::{Guard, Run, command, ended, tool};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const MIB: u64 = 1 << 20;
/// The smallest disk that flipslot takes with one slot, and one MiB more.
pub const SIZE: u64 = 132 * MIB;

/// A machine has few loop devices: one test at a time has them.
pub fn alone() -> MutexGuard<'static, ()> {
    static LOOPS: Mutex<()> = Mutex::new(());
    LOOPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder with an image that unpacks, and a disk's file; what was done to them is undone in the end,
/// the last first.
pub struct Lab {
    folder: TempDir,
    undo: Vec<Undo>,
}

enum Undo {
    Run(String, Vec<String>),
    Kill(Guard),
    Close(File),
}

impl Lab {
    /// With a disk's file that holds nothing.
    pub fn new() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        images::no_kernel().write(&folder.path().join("image"), "1");
        let lab = Lab { folder, undo: Vec::new() };
        lab.empty_file("backing", SIZE);
        lab
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> String {
        self.folder().join(name).to_string_lossy().into_owned()
    }

    /// The file behind the disk.
    pub fn backing(&self) -> String {
        self.path("backing")
    }

    pub fn empty_file(&self, name: &str, size: u64) -> PathBuf {
        let path = self.folder().join(name);
        File::create(&path).unwrap().set_len(size).unwrap();
        path
    }

    pub fn directory(&self, name: &str) -> String {
        fs::create_dir_all(self.folder().join(name)).unwrap();
        self.path(name)
    }

    /// Puts bytes onto the disk.
    pub fn put(&self, offset: u64, bytes: &[u8]) {
        let file = File::options().write(true).open(self.backing()).unwrap();
        file.write_all_at(bytes, offset).unwrap();
    }

    /// A loop device over `name`, with more words for losetup.
    pub fn attach(&mut self, name: &str, words: &[&str]) -> String {
        let path = if name.starts_with('/') { name.to_owned() } else { self.path(name) };
        let device = tool("losetup", &[&["--find", "--show"], words, &[&path]].concat()).trim().to_owned();
        self.later("losetup", &["--detach", &device]);
        device
    }

    /// The disk's loop device.
    pub fn disk(&mut self) -> String {
        self.attach("backing", &[])
    }

    /// Tells the kernel of a partition, as it would find it in a table: 64 MiB from the first MiB on.
    pub fn partition(&mut self, disk: &str) -> String {
        tool("addpart", &[disk, "1", "2048", "131072"]);
        self.later("delpart", &[disk, "1"]);
        format!("{disk}p1")
    }

    pub fn mount(&mut self, words: &[&str], place: &str) {
        tool("mount", &[words, &[place]].concat());
        self.later("umount", &[place]);
    }

    /// Makes an ext4 on it, with the files of a folder.
    pub fn ext4(&self, device: &str, from: Option<&str>) {
        let from = from.map_or(vec![], |from| vec!["-d", from]);
        tool("mke2fs", &[&["-q", "-F", "-t", "ext4"], &from[..], &[device]].concat());
    }

    /// A command to run in the end.
    pub fn later(&mut self, program: &str, words: &[&str]) {
        self.undo.push(Undo::Run(program.to_owned(), words.iter().map(ToString::to_string).collect()));
    }

    /// Keeps a file open until the end.
    pub fn keep_open(&mut self, file: File) {
        self.undo.push(Undo::Close(file));
    }

    /// Starts a program that runs until the end, and waits until it is `ready`.
    #[allow(clippy::disallowed_methods)] // tests start programs by themselves
    pub fn start(&mut self, words: &[&str], ready: impl Fn(u32) -> bool) -> u32 {
        let child = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).spawn().unwrap();
        let process = child.id();
        self.undo.push(Undo::Kill(Guard(child)));
        let begin = Instant::now();
        while !ready(process) {
            assert!(begin.elapsed() < Duration::from_secs(300), "{words:?} does not come so far");
            std::thread::sleep(Duration::from_millis(10));
        }
        process
    }

    /// Runs `create` on a disk; `words` stand beside those that every run has.
    pub fn create(&self, disk: &str, words: &[&str]) -> Run {
        ended(&mut command(self.folder(), &create_words(disk, words)))
    }

    /// The same at a terminal at which `typed` is typed.
    #[allow(clippy::disallowed_methods)] // tests start programs by themselves
    pub fn create_at_terminal(&self, disk: &str, words: &[&str], typed: &str) -> Run {
        let line: Vec<String> = create_words(disk, words).iter().map(|word| format!("'{word}'")).collect();
        let line = format!("{} {}", env!("CARGO_BIN_EXE_flipslot"), line.join(" "));
        fs::write(self.path("typed"), typed).unwrap();
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        script.current_dir(self.folder()).env("HOME", self.folder());
        let mut run = ended(script.stdin(File::open(self.path("typed")).unwrap()));
        run.stderr = run.stdout.replace('\r', ""); // a terminal shows both
        run
    }

    /// What was to be undone last is undone.
    pub fn forget_last(&mut self) {
        self.undo.pop();
    }

    /// A hash of the whole disk, with what the kernel has not written to it yet.
    pub fn digest(&self, disk: &str) -> blake3::Hash {
        if fs::metadata(disk).is_ok_and(|meta| meta.file_type().is_block_device()) && File::open(disk).is_ok() {
            tool("blockdev", &["--flushbufs", disk]);
        }
        content_hash(Path::new(&self.backing()))
    }
}

/// The words of a `create` that gets far enough to be refused.
pub fn create_words<'w>(disk: &'w str, words: &[&'w str]) -> Vec<&'w str> {
    [&["create", disk, "--progress=none", "--slots=1", "--slot=a=oci:image:1"], words].concat()
}

impl Drop for Lab {
    fn drop(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Run(program, words) => {
                    tool(&program, &words.iter().map(String::as_str).collect::<Vec<_>>());
                }
                Undo::Kill(guard) => drop(guard),
                Undo::Close(file) => drop(file),
            }
        }
    }
}
