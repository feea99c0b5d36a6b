//! A slot's root directory, with paths that are resolved inside it as if it were `/`.
//!
//! An image may hold any symbolic link; merged-usr needs absolute ones. They are followed, but never out of
//! the slot: the kernel ensures that (openat2(2), Linux 5.6), or `resolve_path` does.

use crate::error::{Result, failed};
use crate::layer::LayerPath;
use crate::root::metadata;
use crate::root::mounted::resolve_path;
use crate::root::tree::{Found, Last, Tree, What};
use anyhow::Context;
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat, openat2, readlinkat};
use rustix::io::{self, Errno};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Number of tries for a resolution that races with a rename (openat2(2), EAGAIN).
const RACES: usize = 64;

/// A directory that paths cannot leave.
pub struct Root {
    directory: OwnedFd,
    resolver: Resolver,
}

/// The means of resolving paths inside the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// The kernel, by `RESOLVE_IN_ROOT` of openat2(2).
    Openat2,
    /// Code of this program, one component and one descriptor at a time.
    Walk,
}

impl Resolver {
    /// Returns the best resolver that this kernel, and any filter of its system calls, offers.
    pub fn of_this_kernel() -> Resolver {
        match openat2(CWD, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT) {
            Ok(_) => Resolver::Openat2,
            Err(_) => Resolver::Walk,
        }
    }
}

impl Root {
    /// Opens `directory` as a root, with the best resolver there is.
    pub fn open(directory: &Path) -> Result<Root> {
        Root::open_with(directory, Resolver::of_this_kernel())
    }

    /// Opens `directory` as a root with a chosen resolver.
    pub fn open_with(directory: &Path, resolver: Resolver) -> Result<Root> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(directory, flags, Mode::empty())
            .with_context(|| format!("opening {} as the root of a slot", directory.display()))?;
        Ok(Root { directory, resolver })
    }

    /// Returns the descriptor of the root directory.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Opens `path` inside the root. Links are followed inside it, the last one too; magic links (those of
    /// /proc) never are.
    pub fn openat(&self, path: &LayerPath, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        let bytes = if path.is_root() { &b"."[..] } else { path.as_bytes() };
        if self.resolver == Resolver::Walk {
            return resolve_path::open(self.fd(), bytes, flags);
        }
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..RACES {
            match openat2(self.fd(), bytes, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Opens the directory `path` for reading; fails with `LOOP` if a link is on the way, where the kernel can tell.
    pub fn directory_without_links(&self, path: &LayerPath) -> io::Result<OwnedFd> {
        if self.resolver == Resolver::Walk {
            return Err(Errno::LOOP);
        }
        let bytes = if path.is_root() { &b"."[..] } else { path.as_bytes() };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat2(self.fd(), bytes, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
    }

    /// Opens the directory `path` for reading.
    pub fn directory(&self, path: &LayerPath) -> io::Result<OwnedFd> {
        self.openat(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Opens the regular file `path` for reading. Refuses a device, FIFO or socket before it is opened.
    pub fn file(&self, path: &LayerPath) -> io::Result<File> {
        let place = self.openat(path, OFlags::PATH)?;
        if FileType::from_raw_mode(fstat(&place)?.st_mode) != FileType::RegularFile {
            return Err(Errno::INVAL);
        }
        self.openat(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).map(File::from)
    }
}

impl Tree for Root {
    fn look_at(&self, place: &LayerPath, last: Last) -> Result<Option<Found>> {
        let opened = match (last, place.split()) {
            (Last::NoFollow, Some((folder, name))) => self.directory(&folder).and_then(|folder| {
                openat(&folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            }),
            _ => self.openat(place, OFlags::PATH),
        };
        let opened = match opened {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            opened => opened.with_context(|| format!("looking at {place} in the slot"))?,
        };
        let stat = fstat(&opened)?;
        let what = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => What::File { size: u64::try_from(stat.st_size)? },
            FileType::Directory => What::Directory,
            FileType::Symlink => What::Symlink { target: readlinkat(&opened, c"", Vec::new())?.into_bytes() },
            _ => What::Other,
        };
        let labelled = what != What::Other && metadata::is_labelled(&opened);
        Ok(Some(Found { what, mode: stat.st_mode & 0o7777, labelled }))
    }

    fn open_at(&self, place: &LayerPath) -> Result<Option<Box<dyn Read + '_>>> {
        match self.file(place) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(Errno::INVAL) => {
                Err(failed(format!("{place} in the slot is not a regular file"), "fix that file in the image"))
            }
            file => Ok(Some(Box::new(file.with_context(|| format!("opening {place} in the slot"))?))),
        }
    }

    fn list(&self, path: &str) -> Result<Vec<String>> {
        let place = LayerPath::clean(path.as_bytes())?;
        let directory = match self.directory(&place) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Vec::new()),
            directory => directory.with_context(|| format!("opening {place} in the slot"))?,
        };
        let mut names = Vec::new();
        for entry in Dir::read_from(directory)? {
            let name = entry.with_context(|| format!("listing {place} in the slot"))?.file_name().to_owned();
            // A name that is not UTF-8 is not one that a kernel or a release has.
            names.extend(name.into_string().ok().filter(|name| name != "." && name != ".."));
        }
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A root with links of every kind, beside a victim that none of them may reach.
    fn trap() -> (tempfile::TempDir, Vec<Root>) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::create_dir_all(root.join("inner")).unwrap();
        fs::write(root.join("usr/lib/os-release"), "inside").unwrap();
        fs::write(folder.path().join("victim"), "outside").unwrap();
        for (link, target) in [
            ("lib", "usr/lib"),
            ("abs", "/usr/lib"),
            ("up", "../../../../../.."),
            ("inner/go_up", ".."),
            ("inner/escape", "go_up/../../victim"),
            ("a", "b"),
            ("b", "a"),
            ("magic", "/proc/self/root"),
            ("twice", "abs/../lib"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        for step in 0..41 {
            symlink(format!("chain{}", step + 1), root.join(format!("chain{step}"))).unwrap();
        }
        let roots = [Resolver::Openat2, Resolver::Walk].map(|how| Root::open_with(&root, how).unwrap());
        (folder, roots.into())
    }

    #[test]
    fn both_resolvers_follow_links_inside_the_root() {
        let (_folder, roots) = trap();
        assert_eq!(Resolver::of_this_kernel(), Resolver::Openat2, "this machine cannot test the kernel's resolver");
        for root in &roots {
            for path in [
                "lib/os-release",
                "abs/os-release",
                "twice/os-release",
                "up/usr/lib/os-release",
                "inner/go_up/lib/os-release",
            ] {
                assert_eq!(root.read(path, 100).unwrap().as_deref(), Some("inside"), "{path} by {:?}", root.resolver);
            }
        }
    }

    #[test]
    fn both_resolvers_stay_inside_and_end() {
        let (_folder, roots) = trap();
        for root in &roots {
            let errno =
                |path: &str| root.openat(&LayerPath::clean(path.as_bytes()).unwrap(), OFlags::RDONLY).unwrap_err();
            assert_eq!(errno("up/victim"), Errno::NOENT, "{:?}", root.resolver);
            assert_eq!(errno("inner/escape"), Errno::NOENT, "{:?}", root.resolver);
            assert_eq!(errno("a/x"), Errno::LOOP, "{:?}", root.resolver);
            assert_eq!(errno("chain0"), Errno::LOOP, "{:?}", root.resolver);
            assert_eq!(errno("magic"), Errno::NOENT, "{:?}", root.resolver);
            assert_eq!(errno("lib/os-release/x"), Errno::NOTDIR, "{:?}", root.resolver);
        }
    }

    #[test]
    fn a_fifo_in_place_of_a_file_does_not_hang() {
        let (folder, roots) = trap();
        rustix::fs::mknodat(CWD, folder.path().join("root/fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        for root in &roots {
            assert!(root.read("fifo", 100).is_err());
            assert!(!root.has_file("fifo"));
        }
    }
}
