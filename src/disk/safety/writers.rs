//! Processes that have a device, or a disk file, open for writing without asking the kernel to keep others
//! away: a virtual machine that runs from the disk, a copy in progress.

use crate::disk::safety::mounts::numbers_at;
use crate::error::Result;
use rustix::fs::{Stat, stat};
use std::fs::{self, DirEntry};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Number of looks before the last one, and the time between two.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// A process that has a block device open for writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// Process ID.
    pub process: u32,
    /// Name of the process.
    pub name: String,
    /// Numbers of the device, as in sysfs (`8:0`).
    pub numbers: String,
}

/// Lists all writers but this program itself, below `proc`, which is `/proc`.
pub fn find(proc: &Path) -> Vec<Writer> {
    others(proc).flat_map(|process| of(proc, process)).collect()
}

/// Finds the process that has a file open for writing, and its name. The file is the one that `path` leads to
/// here; it may have other names elsewhere, so that `file` identifies it.
pub fn of_file(proc: &Path, path: &Path, file: &Stat) -> Option<(u32, String)> {
    let has_it = |process: &u32| {
        let folder = proc.join(process.to_string());
        let mut open = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
        open.any(|entry| {
            let info = info(&folder, &entry);
            is_for_writing(&info) && is_same(&entry.path(), &info, path, file)
        })
    };
    others(proc).find(has_it).map(|process| (process, name(&proc.join(process.to_string()))))
}

/// Returns what `look` finds, if it stays for a second: a process that is about to run another program has,
/// for a moment, everything open that its parent has.
pub fn lasting<T>(look: impl Fn() -> Result<Option<T>>) -> Result<Option<T>> {
    for _ in 0..LOOKS {
        if look()?.is_none() {
            return Ok(None);
        }
        thread::sleep(BETWEEN_LOOKS);
    }
    look()
}

/// Returns whether an open file is the given one: by its inode, which Linux reports since 5.14, so that no
/// other file is examined, which may be on a network and never answer; before that by its path.
fn is_same(open: &Path, info: &str, path: &Path, file: &Stat) -> bool {
    let inode = info.lines().find_map(|line| line.strip_prefix("ino:")?.trim().parse::<u64>().ok());
    match inode {
        Some(inode) if inode != file.st_ino => false,
        Some(_) => stat(open).is_ok_and(|open| (open.st_dev, open.st_ino) == (file.st_dev, file.st_ino)),
        None => fs::read_link(open).is_ok_and(|target| target == path),
    }
}

/// Lists the processes that are not this program.
fn others(proc: &Path) -> impl Iterator<Item = u32> {
    let processes = fs::read_dir(proc).into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // This program's process ID there: `proc` may be that of another PID namespace (proc(5)).
    let own = fs::read_link(proc.join("self")).ok().and_then(|link| link.to_str()?.parse().ok());
    let own = own.unwrap_or(std::process::id());
    numbers.filter(move |process| *process != own)
}

fn info(folder: &Path, open: &DirEntry) -> String {
    fs::read_to_string(folder.join("fdinfo").join(open.file_name())).unwrap_or_default()
}

fn name(folder: &Path) -> String {
    fs::read_to_string(folder.join("comm")).unwrap_or_default().trim().to_owned()
}

fn of(proc: &Path, process: u32) -> Vec<Writer> {
    let folder = proc.join(process.to_string());
    let mut writers: Vec<Writer> = Vec::new();
    for entry in fs::read_dir(folder.join("fd")).into_iter().flatten().flatten() {
        // Nothing outside /dev is examined: a file on a network may never answer.
        let in_dev = fs::read_link(entry.path()).is_ok_and(|path| path.starts_with("/dev"));
        let Some(numbers) = in_dev.then(|| numbers_at(&entry.path().to_string_lossy())).flatten() else {
            continue;
        };
        if is_for_writing(&info(&folder, &entry)) && !writers.iter().any(|writer| writer.numbers == numbers) {
            writers.push(Writer { process, name: name(&folder), numbers });
        }
    }
    writers
}

/// Returns whether a file is open for writing (proc_pid_fdinfo(5)): `flags` is octal; of its lowest two bits,
/// 0 is O_RDONLY (asm-generic/fcntl.h). O_PATH (010000000) opens nothing.
fn is_for_writing(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).unwrap_or(0);
    flags & 0o3 != 0 && flags & 0o10_000_000 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_open_for_writing_counts() {
        assert!(is_for_writing("pos:\t0\nflags:\t0100002\nmnt_id:\t9\n"));
        assert!(is_for_writing("pos:\t0\nflags:\t0100001\n"));
        for no in ["pos:\t0\nflags:\t0100000\n", "flags:\t012000002\n", ""] {
            assert!(!is_for_writing(no), "{no}");
        }
    }
}
