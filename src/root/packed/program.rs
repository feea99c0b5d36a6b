//! A program that reads a tar archive and writes a filesystem.

use crate::error::{Result, failed};
use crate::layer::entry::Meta;
use crate::root::erofs::Identity;
use crate::root::tar_writer::write_tar;
use crate::root::walk::Walk;
use crate::tool::Tool;
use anyhow::{Context, anyhow};
use std::ffi::OsString;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;
use std::thread;

/// Bytes of the archive that are passed on at once.
const CHUNK: usize = 256 * 1024;

/// A program that was found on this machine, with what it is told.
#[derive(Debug)]
pub struct Program {
    /// Name of the program.
    pub name: &'static str,
    /// Version that it names.
    pub version: String,
    /// Returns its arguments for the file to write.
    pub arguments: fn(&Self, &Told, &Path) -> Vec<OsString>,
    /// Words for the compression.
    pub compression: &'static [&'static str],
    /// Set if it leaves out the attributes of the root directory.
    pub drops_root_attributes: bool,
}

/// Metadata that the archive cannot carry.
#[derive(Debug)]
pub struct Told {
    /// Identity of the image.
    pub identity: Identity,
    /// Metadata of the root directory.
    pub root: Meta,
}

impl Program {
    /// Returns its name and version.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// Passes `root` to it as an archive, while it writes the file `out`.
    pub fn pack(&self, root: &dyn Walk, identity: Identity, out: &Path) -> Result<()> {
        let told = Told { identity, root: root_directory(root)? };
        if self.drops_root_attributes && !told.root.xattrs.is_empty() {
            let found = format!("{} leaves out the attributes of the root directory, and this one has some", self.name);
            return Err(failed(found, "install squashfs-tools-ng, whose tar2sqfs keeps them"));
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let tool = Tool::new(self.name).args((self.arguments)(self, &told, out));
        // SOURCE_DATE_EPOCH and the like must not change the output.
        let tool = tool.only_environment(&[("PATH", &path), ("LC_ALL", "C")]);
        let (archive, feed) = io::pipe().context("making a pipe")?;
        thread::scope(|scope| {
            let run = scope.spawn(move || tool.run_with_input(archive.into()));
            let mut feed = BufWriter::with_capacity(CHUNK, feed);
            let fed = write_tar(root, &mut feed).and_then(|()| Ok(feed.flush()?));
            drop(feed);
            let ended = run.join().unwrap_or_else(|_| Err(anyhow!("the thread that waits for a program has failed")));
            // A program that fails stops reading: its own words say more than the broken pipe.
            match fed {
                Err(error) if !is_broken_pipe(&error) => Err(error),
                _ => ended.map(drop),
            }
        })
        .with_context(|| format!("writing the image with {}", self.name))
    }
}

/// Returns the metadata of the root directory, which a walk visits first.
fn root_directory(root: &dyn Walk) -> Result<Meta> {
    let mut found = None;
    let walked = root.walk(&mut |visited| {
        found = Some(visited.meta.clone());
        Err(anyhow!("this is enough"))
    });
    found.map_or_else(|| walked.map(|()| Meta::default()), Ok)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == ErrorKind::BrokenPipe)
}

/// Returns the version that a program names in what it prints: its first word of digits and points.
pub fn version_in(printed: &str) -> String {
    let is_version = |word: &&str| word.contains('.') && word.starts_with(|first: char| first.is_ascii_digit());
    let word = printed.split_whitespace().find(is_version).unwrap_or_default();
    word.trim_end_matches(|last: char| !last.is_ascii_alphanumeric()).to_owned()
}

/// Returns true if a version is at least this one.
pub fn at_least(version: &str, major: u32, minor: u32) -> bool {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_print() {
        for (printed, version) in [
            ("mkfs.erofs 1.5", "1.5"),
            ("mkfs.erofs (erofs-utils) 1.8.6\navailable compressors: lz4", "1.8.6"),
            ("sqfstar version 4.5.1 (2022/03/17)", "4.5.1"),
            ("tar2sqfs (squashfs-tools-ng) 1.2.0\nCopyright", "1.2.0"),
            ("nothing", ""),
        ] {
            assert_eq!(version_in(printed), version);
        }
        assert!(at_least("4.6.1", 4, 6) && at_least("5.0", 4, 6) && !at_least("4.5.1", 4, 6) && !at_least("", 0, 1));
    }
}
