//! The last steps of a disk file: its format, the files beside it, and the order in which they all appear.

use crate::boot::record::Record;
use crate::disk::new::file::{Existing, NewFile, folder_of};
use crate::disk::new::layout::Layout;
use crate::disk::new::target::{Finished, Target};
use crate::disk::table::read as table;
use crate::error::{Result, refused, usage};
use crate::mount::lock::{Patience, lock};
use crate::mount::scratch::Scratch;
use crate::progress::Progress;
use crate::publish::allocated::to_copy;
use crate::publish::convert::{QEMU_IMG, RawDisk, convert};
use crate::publish::format::Format;
use crate::publish::manifest::{Head, Manifest};
use crate::publish::written_file::{WrittenFile, filled};
use crate::publish::{bmap, sums};
use crate::tool;
use crate::words::digest::Digest;
use crate::words::slot::Slot;
use anyhow::Context;
use rustix::fs::lstat;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for another run that has the folder's `SHA256SUMS` locked while it writes a few small files.
const PATIENCE: Duration = Duration::from_secs(60);

/// Choice of the files beside a disk file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sidecars {
    /// No files beside it.
    None,
    /// A block map where the format has one, a manifest, and a line for each file in `SHA256SUMS`.
    Beside,
}

/// The output of a run: a disk file at its path, and the files beside it.
pub struct Artifact {
    path: PathBuf,
    format: Format,
    sidecars: Sidecars,
    existing: Existing,
}

/// Contents of a complete disk.
pub struct Contents<'c> {
    /// Positions of its partitions.
    pub layout: &'c Layout,
    /// Records of its slots.
    pub slots: Vec<(Slot, Record)>,
    /// Time of writing in seconds since 1970.
    pub written: u64,
}

impl Artifact {
    /// Derives the output from the disk's name and the flags. Fails (usage) for an unsupported format, and
    /// for a name that `SHA256SUMS` cannot hold.
    pub fn of(path: &Path, sidecars: Sidecars, existing: Existing) -> Result<Artifact> {
        let format = Format::of(path)?;
        let artifact = Artifact { path: path.to_owned(), format, sidecars, existing };
        if sidecars == Sidecars::Beside {
            artifact.name()?;
        }
        Ok(artifact)
    }

    /// Refuses to begin what cannot be completed: without the program that converts, or with files beside the
    /// disk that may not be replaced.
    pub fn refuse_unable(&self) -> Result<()> {
        if !matches!(self.format, Format::Raw | Format::Zstd) {
            tool::refuse_missing(&QEMU_IMG)?;
        }
        if self.sidecars == Sidecars::None {
            return Ok(());
        }
        let there = [self.beside("bmap"), self.beside("json")].into_iter().find(|path| lstat(path).is_ok());
        if let Some(path) = there.filter(|_| self.existing == Existing::Refuse) {
            return Err(refused(format!("{} exists", path.display()), "replace it with --yes, or name another file"));
        }
        self.old_sums().map(drop)
    }

    /// Refuses a filesystem without room for images of `stored` bytes, or for twice as much if a raw disk and
    /// its converted form are there at the same time. Also has zeros written explicitly if a block map will
    /// copy them.
    pub fn prepare(&self, disk: &mut Target, stored: u64) -> Result<()> {
        if self.has_bmap() {
            disk.write_zeros();
        }
        disk.refuse_if_full(if self.format == Format::Raw { stored } else { stored.saturating_mul(2) })
    }

    fn has_bmap(&self) -> bool {
        self.sidecars == Sidecars::Beside && self.format.has_bmap()
    }

    /// Converts a complete disk, gives it its name, and writes the files beside it. A device stays as it is.
    /// Returns the files that were written, or nothing if there was only the disk.
    pub fn publish(
        &self,
        disk: Finished,
        contents: &Contents,
        scratch: &Scratch,
        progress: &Progress,
    ) -> Result<Vec<WrittenFile>> {
        let Finished::File { new: raw, _replaces } = disk else { return Ok(Vec::new()) };
        let size = contents.layout.size;
        let mut converted = None;
        if self.format != Format::Raw {
            let step = progress.step(None, "converting the disk", None);
            let new = NewFile::make(&self.path, self.existing, "converted")?;
            convert(RawDisk { file: &raw, size }, self.format, &new, scratch, &step)?;
            converted = Some(new);
        }
        if self.sidecars == Sidecars::None {
            return converted.unwrap_or(raw).publish().map(|()| Vec::new());
        }
        let step = progress.step(None, "hashing the disk", None);
        let mut files = vec![WrittenFile::of(self.name()?, converted.as_ref().unwrap_or(&raw).file())?];
        let mut beside = Vec::new();
        if self.has_bmap() {
            let map = bmap::render(raw.file(), size, &to_copy(raw.file(), contents.layout)?)?;
            beside.push(self.put(&self.beside("bmap"), map.as_bytes(), &mut files)?);
        }
        let table = table::describe(raw.file(), size, contents.layout.sector)?;
        let head = Head { format: self.format, size, written: contents.written };
        let manifest = Manifest::new(head, table, &contents.slots, files.clone());
        let text = serde_json::to_string_pretty(&manifest)? + "\n";
        beside.push(self.put(&self.beside("json"), text.as_bytes(), &mut files)?);
        drop(step);
        self.name_all(converted.unwrap_or(raw), beside, &files)?;
        Ok(files)
    }

    /// Gives every file its name. `SHA256SUMS` is correct at every moment: first it loses the lines of files
    /// that are about to be replaced, and it gets those of the new files once these are there.
    fn name_all(&self, disk: NewFile, beside: Vec<NewFile>, files: &[WrittenFile]) -> Result<()> {
        let folder = folder_of(&self.path);
        let open = File::open(&folder).with_context(|| format!("opening {}", folder.display()))?;
        lock(&open, &folder, Patience::Wait(PATIENCE))?;
        let old = self.old_sums()?;
        let path = folder.join(sums::NAME);
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        let sums: Vec<_> = files.iter().map(|file| (file.name.as_str(), file.digest.clone())).collect();
        let last = filled(&path, "partial", Existing::Replace, &sums::with(&old, &sums))?;
        let without = sums::without(&old, &names);
        if sums::with(&old, &[]) != without {
            filled(&path, "before", Existing::Replace, &without)?.publish()?;
        }
        disk.publish()?; // now the disk is there
        beside.into_iter().try_for_each(NewFile::publish)?;
        last.publish()
    }

    /// Writes a file beside the disk, complete but for its name, and adds it to `files`.
    fn put(&self, path: &Path, bytes: &[u8], files: &mut Vec<WrittenFile>) -> Result<NewFile> {
        let new = filled(path, "partial", self.existing, bytes)?;
        let name = path.file_name().and_then(|name| name.to_str()).context("the file has no name")?;
        files.push(WrittenFile { name: name.to_owned(), size: bytes.len() as u64, digest: Digest::of(bytes) });
        Ok(new)
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{ending}"));
        name.into()
    }

    /// Returns the disk's name within its folder. Fails (usage) if `SHA256SUMS` cannot hold it.
    fn name(&self) -> Result<&str> {
        let name = self.path.file_name().and_then(|name| name.to_str());
        name.filter(|name| !name.contains(|c: char| c.is_control() || c == '\\')).ok_or_else(|| {
            let found = format!("{} cannot hold the name {}", sums::NAME, self.path.display());
            usage(found, "use only letters and digits in the disk's name, or omit --sidecars")
        })
    }

    fn old_sums(&self) -> Result<Vec<u8>> {
        let path = folder_of(&self.path).join(sums::NAME);
        match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(refused(
                format!("{} cannot be read: {error}", path.display()),
                "move it away, or name a file in another directory",
            )),
            old => Ok(old?),
        }
    }
}
