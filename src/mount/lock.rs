//! One run at a time on a disk: flock(2) on the whole disk, as udev does (systemd.io/BLOCK_DEVICE_LOCKING).

use crate::error::{Result, refused};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, major, minor, mkdir, open, openat};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Programs that lock a disk only for a moment: udev while it examines it, which it does after every change,
/// and the agent while it writes a note.
const SHORT: [&str; 4] = ["udev", "flipslot watch-trial", "flipslot check-health", "flipslot confirm"];
/// Longest wait for the programs in `SHORT`.
const MOMENT: Duration = Duration::from_secs(5);

/// Reaction to a process that has the disk locked for longer than a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Refuse, and name the process.
    Refuse,
    /// Wait for it, at most this long.
    Wait(Duration),
}

/// Locks a disk for this process until `file` is closed; `path` is its name in errors.
pub fn lock(file: &File, path: &Path, patience: Patience) -> Result<()> {
    take(FlockOperation::NonBlockingLockExclusive, file, path, patience)
}

/// Folder of the locks by device number: not below /run/lock, where every user may make folders.
const BY_NUMBER: &str = "/run/flipslot-locks";

/// Locks a device by its number (`8:0`), until the returned file is closed: another node of the same device has another
/// inode, and so another lock. `None` if this process may not make the file.
pub fn lock_number(numbers: &str, path: &Path, patience: Patience) -> Result<Option<File>> {
    let Ok(file) = file_of(numbers) else { return Ok(None) };
    lock(&file, path, patience)?;
    Ok(Some(file))
}

fn file_of(numbers: &str) -> io::Result<File> {
    match mkdir(BY_NUMBER, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    let safe = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = open(BY_NUMBER, OFlags::RDONLY | OFlags::DIRECTORY | safe, Mode::empty())?;
    let found = fstat(&folder)?;
    if found.st_uid != geteuid().as_raw() || found.st_mode & 0o022 != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NONBLOCK | safe;
    Ok(File::from(openat(&folder, numbers, flags, Mode::RUSR | Mode::WUSR)?))
}

/// Locks a disk for reading: other readers may do the same in the meantime, but no writer.
pub fn lock_shared(file: &File, path: &Path) -> Result<()> {
    take(FlockOperation::NonBlockingLockShared, file, path, Patience::Refuse)
}

fn take(operation: FlockOperation, file: &File, path: &Path, patience: Patience) -> Result<()> {
    let begin = Instant::now();
    while flock(file, operation).is_err() {
        let holder = holder_of(file);
        let is_short = holder.as_ref().is_none_or(|(_, name)| SHORT.iter().any(|short| name.contains(short)));
        let wait = match patience {
            Patience::Wait(time) => time,
            Patience::Refuse if is_short => MOMENT,
            Patience::Refuse => Duration::ZERO,
        };
        if begin.elapsed() < wait {
            thread::sleep(Duration::from_millis(50));
            continue;
        }
        let (found, next) = match holder {
            Some((process, name)) => (
                format!("{} is locked by process {process} ({name})", path.display()),
                "wait until it ends, then run the command again".to_owned(),
            ),
            None => (
                format!("{} is locked by another process", path.display()),
                format!("see which: lsof {}", path.display()),
            ),
        };
        return Err(refused(found, next));
    }
    Ok(())
}

/// Returns the process that holds a lock on the same file, and its command line.
fn holder_of(file: &File) -> Option<(u32, String)> {
    let found = fstat(file).ok()?;
    let key = format!("{:02x}:{:02x}:{}", major(found.st_dev), minor(found.st_dev), found.st_ino);
    let process = holder_in(&fs::read_to_string("/proc/locks").ok()?, &key)?;
    let line = fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let words = String::from_utf8_lossy(&line).replace('\0', " ");
    Some((process, words.trim_end().chars().filter(|c| !c.is_control()).collect()))
}

/// Returns the process that holds a lock of flock(2) on `key`, which is major:minor:inode, according to proc_locks(5).
fn holder_in(locks: &str, key: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, process, file, ..] = fields[..] else { return None };
        (file == key).then(|| process.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_locked_by_its_number_whatever_node_of_it_is_opened() {
        let lock = |numbers: &str| lock_number(numbers, Path::new("/dev/other"), Patience::Refuse);
        let first = lock("4095:1").unwrap().expect("the tests run as root");
        assert!(format!("{:#}", lock("4095:1").unwrap_err()).contains("/dev/other is locked by process"));
        assert!(lock("4095:2").is_ok());
        drop(first);
        // A process that another test starts at this moment has it until it executes its program.
        let patience = Patience::Wait(Duration::from_secs(60));
        assert!(lock_number("4095:1", Path::new("/dev/other"), patience).is_ok());
    }

    #[test]
    fn the_process_that_holds_a_lock_is_named() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 00:05:11 0 EOF\n2: FLOCK  ADVISORY  WRITE 412 00:05:11 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 500 00:05:11 0 EOF\n";
        assert_eq!(holder_in(locks, "00:05:11"), Some(412));
        assert_eq!(holder_in(locks, "00:05:12"), None);
        let file = tempfile::NamedTempFile::new().unwrap();
        lock(file.as_file(), file.path(), Patience::Refuse).unwrap();
        let second = File::open(file.path()).unwrap();
        let text = format!("{:#}", lock(&second, file.path(), Patience::Refuse).unwrap_err());
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    }
}
