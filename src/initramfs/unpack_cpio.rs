//! Unpacks the archive of an initramfs into a root.

use crate::archive::counted::Stream;
use crate::archive::cpio::{self, Header, REMAKE, from_root};
use crate::error::{Result, failed, from_io};
use crate::layer::LayerPath;
use crate::layer::entry::{Meta, Node, Time};
use crate::layer::sink::RootSink;
use anyhow::Context;
use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};

/// Largest target of a link in bytes (`PATH_MAX`, linux/limits.h).
const TARGET_MAX: u32 = 4096;

/// Unpacks the archive that begins at the position of `input`.
pub fn unpack(input: &mut Stream<impl Read>, sink: &mut dyn RootSink) -> Result<()> {
    sink.begin_layer()?;
    // One of a file's names has its content, the last one for most programs (kernel:
    // driver-api/early-userspace/buffer-format.rst).
    let mut names: BTreeMap<(u32, (u32, u32)), Names> = BTreeMap::new();
    while let Some((name, header)) = cpio::open(input)? {
        let unpacking = || format!("unpacking {} of the initramfs", name.escape_debug());
        let path = Some(from_root(&name)).filter(|path| !path.is_empty()).unwrap_or(".");
        let path = LayerPath::clean(path.as_bytes()).with_context(unpacking)?;
        if !is_file(&header) || header.links < 2 {
            entry(input, &header, &path, sink).with_context(unpacking)?;
            continue;
        }
        let known = names.entry((header.inode, header.on)).or_default();
        match &known.written {
            Some(first) if header.size == 0 => sink.hardlink(&path, first).with_context(unpacking)?,
            None if header.size == 0 => known.waiting.push((path, meta_of(&header))),
            _ => {
                entry(input, &header, &path, sink).with_context(unpacking)?;
                known.waiting.drain(..).try_for_each(|(other, _)| sink.hardlink(&other, &path))?;
                known.written = Some(path);
            }
        }
    }
    for Names { waiting, .. } in names.into_values() {
        let Some(((first, meta), others)) = waiting.split_first() else { continue };
        sink.file(first, meta, &mut io::empty())?;
        others.iter().try_for_each(|(other, _)| sink.hardlink(other, first))?;
    }
    sink.finish()
}

/// Names of one file.
#[derive(Default)]
struct Names {
    /// The one that was written with its content.
    written: Option<LayerPath>,
    /// Those that came before the content.
    waiting: Vec<(LayerPath, Meta)>,
}

fn meta_of(header: &Header) -> Meta {
    let mtime = Time { seconds: header.mtime.into(), nanoseconds: 0 };
    Meta { mode: header.mode & 0o7777, uid: header.uid, gid: header.gid, mtime, xattrs: Vec::new() }
}

fn is_file(header: &Header) -> bool {
    header.mode & 0o17_0000 == 0o10_0000
}

fn entry(input: &mut Stream<impl Read>, header: &Header, path: &LayerPath, sink: &mut dyn RootSink) -> Result<()> {
    let meta = meta_of(header);
    let (major, minor) = header.device;
    let size = u64::from(header.size);
    let mut body = input.take(size);
    match header.mode & 0o17_0000 {
        0o10_0000 => sink.file(path, &meta, &mut BufReader::new(&mut body))?,
        0o04_0000 => sink.directory(path, &meta)?,
        0o12_0000 => {
            if header.size > TARGET_MAX {
                return Err(failed(format!("the target of a link has {size} bytes"), REMAKE));
            }
            let mut target = Vec::new();
            body.read_to_end(&mut target)?;
            sink.symlink(path, &meta, &target)?;
        }
        0o02_0000 => sink.node(path, &meta, Node::Character { major, minor })?,
        0o06_0000 => sink.node(path, &meta, Node::Block { major, minor })?,
        0o01_0000 => sink.node(path, &meta, Node::Fifo)?,
        _ => {} // a socket, which no program can have made there
    }
    let left = body.limit() + size.next_multiple_of(4) - size;
    let passed = input.pass(left).map_err(from_io)?;
    if passed < left { Err(failed("the initramfs is cut short", REMAKE)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::memory::MemoryTree;
    use crate::root::mounted::directory::Root;
    use crate::root::tar_writer::write_tar;
    use crate::tool::Tool;

    #[test]
    fn what_the_cpio_program_packs_comes_out_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let script = "cd \"$1\" && mkdir -p root/a/b && cd root && printf xyz > a/file && ln a/file a/b/other && ln a/file first \
            && : > empty && ln empty same && ln -s ../x a/link && mknod a/null c 1 3 && mkfifo fifo && chmod 4755 a/file && chown 7:8 a/file \
            && find . -exec touch -h -d @1600000000 {} + && find . | sort | cpio -o -H newc --quiet > ../archive";
        Tool::new("sh").args(["-ec", script, "sh"]).arg(folder.path()).run().unwrap();
        let archive = std::fs::read(folder.path().join("archive")).unwrap();
        let mut tree = MemoryTree::complete(std::env::temp_dir());
        unpack(&mut Stream::new(&archive[..], u64::MAX), &mut tree).unwrap();
        let tar = |root: &dyn crate::root::walk::Walk| {
            let mut bytes = Vec::new();
            write_tar(root, &mut bytes).unwrap();
            bytes
        };
        assert!(tar(&tree) == tar(&Root::open(&folder.path().join("root")).unwrap()));
        let cut = &archive[..archive.len() / 2];
        assert!(unpack(&mut Stream::new(cut, u64::MAX), &mut MemoryTree::complete(std::env::temp_dir())).is_err());
    }
}
