//! A file that appears at its path complete or not at all: it gets its name once it is written.

use crate::error::{Result, failed, refused};
use crate::mount::lock::{Patience, lock};
use anyhow::Context;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, fstat, linkat, lstat, open, renameat, renameat_with};
use rustix::io::Errno;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Treatment of a file that already exists at the target path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuse to replace it.
    Refuse,
    /// Replace it: the user passed `--yes`.
    Replace,
}

/// A file that is not at its path yet. If it is dropped before [`NewFile::publish`], it never appears there.
pub struct NewFile {
    file: File,
    path: PathBuf,
    existing: Existing,
    name: Name,
}

enum Name {
    /// No name until it is complete, or already its final one.
    Nameless,
    /// A hidden name, where the filesystem does not support nameless files.
    Hidden(PathBuf),
}

impl NewFile {
    /// Makes an empty file in the folder of `path`. Where it cannot be nameless, `what` is a word of its
    /// hidden name, and it is locked: another run that makes the same file is refused.
    pub fn make(path: &Path, existing: Existing, what: &str) -> Result<NewFile> {
        let folder = folder_of(path);
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let (file, name) = match open(&folder, flags, Mode::from_raw_mode(0o644)) {
            Ok(file) => (File::from(file), Name::Nameless),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let hidden = beside(path, what);
                (hidden_file(path, &hidden)?, Name::Hidden(hidden))
            }
            Err(errno) => {
                let found = format!("cannot make a file in {}: {errno}", folder.display());
                return Err(refused(found, "name a file in a directory that exists and is writable"));
            }
        };
        Ok(NewFile { file, path: path.to_owned(), existing, name })
    }

    /// Returns the open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Returns the path where the file will appear.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns a path by which another program can open the file, as long as this value lives.
    pub fn open_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()))
    }

    /// Waits until everything written is on the disk.
    pub fn flush(&self) -> Result<()> {
        self.file.sync_all().with_context(|| format!("flushing {}", self.path.display()))
    }

    /// Gives the file its name in one step, replacing an existing file if that is allowed. Call
    /// [`NewFile::flush`] first.
    pub fn publish(mut self) -> Result<()> {
        match &self.name {
            Name::Nameless => self.give_name()?,
            Name::Hidden(hidden) => {
                self.rename(hidden)?;
                self.name = Name::Nameless;
            }
        }
        let folder = folder_of(&self.path);
        File::open(&folder)?.sync_all().with_context(|| format!("flushing the directory of {}", self.path.display()))
    }

    fn rename(&self, hidden: &Path) -> Result<()> {
        let renamed = match self.existing {
            Existing::Replace => renameat(CWD, hidden, CWD, &self.path),
            Existing::Refuse => match renameat_with(CWD, hidden, CWD, &self.path, RenameFlags::NOREPLACE) {
                // A filesystem that cannot do both at once (rename(2), RENAME_NOREPLACE), such as FUSE: look,
                // then rename.
                Err(Errno::INVAL) if lstat(&self.path).is_ok() => Err(Errno::EXIST),
                Err(Errno::INVAL) => renameat(CWD, hidden, CWD, &self.path),
                renamed => renamed,
            },
        };
        match renamed {
            Err(Errno::EXIST) => Err(self.is_there_now()),
            renamed => renamed.with_context(|| format!("naming {}", self.path.display())),
        }
    }

    fn is_there_now(&self) -> anyhow::Error {
        let found = format!("{} was made by another program in the meantime", self.path.display());
        failed(found, "look at it; replace it with --yes")
    }

    fn give_name(&self) -> Result<()> {
        let context = || format!("naming {}", self.path.display());
        let nameless = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        match linkat(CWD, &nameless, CWD, &self.path, AtFlags::SYMLINK_FOLLOW) {
            Err(Errno::EXIST) if self.existing == Existing::Refuse => Err(self.is_there_now()),
            Err(Errno::EXIST) => {
                // The target exists and may be replaced: rename(2) does it in one step.
                let new = beside(&self.path, "new");
                let _ = fs::remove_file(&new);
                linkat(CWD, &nameless, CWD, &new, AtFlags::SYMLINK_FOLLOW).with_context(context)?;
                let renamed = fs::rename(&new, &self.path).with_context(context);
                if renamed.is_err() {
                    let _ = fs::remove_file(&new);
                }
                renamed
            }
            linked => linked.with_context(context),
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Name::Hidden(hidden) = &self.name
            && let Err(error) = fs::remove_file(hidden)
        {
            crate::stderr!("flipslot: cannot remove {}: {error}", hidden.display());
        }
    }
}

/// Opens the hidden file, empties it and locks it.
fn hidden_file(path: &Path, hidden: &Path) -> Result<File> {
    let context = || format!("making the file {}", path.display());
    let nofollow = i32::try_from(OFlags::NOFOLLOW.bits())?;
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).custom_flags(nofollow);
    let file = options.open(hidden).with_context(context)?;
    lock(&file, hidden, Patience::Refuse)?;
    // Another run may have given the file its name while this one waited for the lock.
    if lstat(hidden).map(|found| found.st_ino).ok() != Some(fstat(&file)?.st_ino) {
        return Err(refused(format!("{} was just written by another run", path.display()), "run the command again"));
    }
    file.set_len(0).with_context(context)?;
    Ok(file)
}

/// Returns the folder of a path, `.` for a bare file name.
pub fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    folder_of(path).join(format!(".{name}.flipslot-{what}"))
}
