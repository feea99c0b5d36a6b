//! Writes a root as an EROFS image: read-only, uncompressed, and the same bytes for the same root
//! (kernel: filesystems/erofs.rst; fs/erofs/erofs_fs.h). A slot has no mkfs.erofs, and a kernel since 5.4 reads this.

mod directory;
mod format;
mod inode;
mod layout;
mod xattrs;

use crate::error::{Result, failed};
use crate::root::erofs::format::{BLOCK, HAS_TIMES, MAGIC, SUPERBLOCK, SUPERBLOCK_SIZE};
use crate::root::erofs::inode::encode;
use crate::root::erofs::layout::{Image, Node};
use crate::root::walk::{NodeKind, Visited, Walk};
use anyhow::Context;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

/// Identity of an image.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// UUID of the filesystem.
    pub uuid: [u8; 16],
    /// Time at which it was made, in seconds since 1970.
    pub made: u64,
}

/// Writes all of `root` to the empty file `out`. Fails if an extended attribute has a name that EROFS has no form for.
pub fn write(root: &dyn Walk, identity: Identity, out: &File) -> Result<()> {
    let image = Image::of(root)?;
    out.set_len(image.blocks * BLOCK).context("making room for the image")?;
    out.write_all_at(&superblock(&image, identity)?, SUPERBLOCK).context("writing the superblock")?;
    for node in image.nodes.iter().filter(|node| !matches!(node.kind, NodeKind::File { .. })) {
        place(out, &image, node, &mut image.data_of(node).as_slice()).context("writing the image")?;
    }
    let mut written = vec![false; image.nodes.len()];
    root.walk(&mut |visited| match image.index.get(&visited.inode) {
        Some(index) if !written[*index] => {
            written[*index] = true;
            file(out, &image, &image.nodes[*index], visited)
        }
        _ => Ok(()),
    })
}

/// Returns the length of an image in bytes by its first 2 KiB; `None` if it is not one.
pub fn length_of(head: &[u8]) -> Option<u64> {
    let at = usize::try_from(SUPERBLOCK).ok()?;
    let number = |offset: usize| Some(u32::from_le_bytes(head.get(at + offset..at + offset + 4)?.try_into().ok()?));
    (number(0)? == MAGIC).then_some(())?;
    Some(u64::from(number(36)?) * BLOCK)
}

/// Writes a regular file. Does nothing for other nodes, which were written before.
fn file(out: &File, image: &Image, node: &Node, visited: &Visited) -> Result<()> {
    let NodeKind::File { size } = node.kind else { return Ok(()) };
    let writing = || format!("writing /{}", visited.path.escape_ascii());
    let mut content = visited.open().with_context(writing)?;
    place(out, image, node, &mut (&mut content).take(size)).with_context(writing)?;
    // A root that changes is not what was counted.
    match content.read(&mut [0]).with_context(writing)? {
        0 => Ok(()),
        _ => Err(failed(format!("/{} has grown while it was read", visited.path.escape_ascii()), "run it again")),
    }
}

/// Writes an inode with its attributes, its whole blocks to their place, and the rest behind the inode or after them.
fn place(out: &File, image: &Image, node: &Node, data: &mut impl Read) -> Result<()> {
    let mut bytes = encode(node)?;
    bytes.extend(xattrs::encode(&node.meta.xattrs)?);
    let mut at = u64::from(node.first_block) * BLOCK;
    let mut left = node.length;
    let mut chunk = vec![0; 256 * 1024];
    let tail = if node.is_inline { node.length % BLOCK } else { 0 };
    while left > tail {
        let length = usize::try_from((left - tail).min(chunk.len() as u64))?;
        data.read_exact(&mut chunk[..length])?;
        out.write_all_at(&chunk[..length], at)?;
        at += length as u64;
        left -= length as u64;
    }
    let end = bytes.len();
    bytes.resize(end + usize::try_from(tail)?, 0);
    data.read_exact(&mut bytes[end..])?;
    Ok(out.write_all_at(&bytes, image.offset_of(node))?)
}

/// Encodes struct erofs_super_block.
fn superblock(image: &Image, identity: Identity) -> Result<Vec<u8>> {
    let blocks = u32::try_from(image.blocks).context("the image is too large for EROFS")?;
    let mut bytes = vec![0; usize::try_from(SUPERBLOCK_SIZE)?];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &MAGIC.to_le_bytes());
    put(8, &HAS_TIMES.to_le_bytes());
    put(12, &[12]); // log2 of the block
    put(14, &image.root_number().to_le_bytes());
    put(16, &(image.nodes.len() as u64).to_le_bytes());
    put(24, &identity.made.to_le_bytes());
    put(36, &blocks.to_le_bytes());
    put(48, &identity.uuid);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::LayerPath;
    use crate::layer::entry::{Meta, Node as Special, Time};
    use crate::layer::sink::RootSink;
    use crate::root::memory::MemoryTree;
    use crate::root::mounted::directory::Root;
    use crate::tool::Tool;

    const IDENTITY: Identity = Identity { uuid: *b"flipslot-testing", made: 1_700_000_000 };

    fn path(text: &str) -> LayerPath {
        LayerPath::clean(text.as_bytes()).unwrap()
    }

    /// A tree with every kind of node, and with sizes on both sides of every limit.
    fn tree() -> MemoryTree {
        let mut tree = MemoryTree::complete(std::env::temp_dir());
        tree.begin_layer().unwrap();
        let meta = |mode| Meta {
            mode,
            uid: 70_000,
            gid: 3,
            mtime: Time { seconds: 1_600_000_000, nanoseconds: 123_456_789 },
            xattrs: Vec::new(),
        };
        tree.directory(&path("empty"), &meta(0o1777)).unwrap();
        for size in [0, 1, 4000, 4031, 4032, 4033, 4095, 4096, 4097, 8191, 300_000] {
            let bytes: Vec<u8> = (0..size).map(|n| u8::try_from(n % 251).unwrap()).collect();
            tree.file(&path(&format!("files/{size}")), &meta(0o644), &mut &bytes[..]).unwrap();
        }
        // More names than one block holds, in an order that is not that of their numbers.
        for n in 0..700 {
            tree.file(&path(&format!("many/{n}-{}", "x".repeat(n % 60))), &meta(0o600), &mut &b"y"[..]).unwrap();
        }
        let acl =
            b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x04\0\x04\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff".to_vec();
        let xattrs = [
            ("security.capability", [&b"\x01\0\0\x02\0\x04\0\0"[..], &[0; 12]].concat()),
            ("system.posix_acl_access", acl),
            ("trusted.x", vec![7; 3000]),
            ("user.a", b"b".to_vec()),
        ];
        let xattrs = xattrs.map(|(name, value)| (name.as_bytes().to_vec(), value)).to_vec();
        tree.file(&path("bin/su"), &Meta { xattrs, ..meta(0o4755) }, &mut &[b'z'; 2000][..]).unwrap();
        tree.hardlink(&path("bin/sudo"), &path("bin/su")).unwrap();
        tree.symlink(&path("lib"), &meta(0o777), b"usr/lib").unwrap();
        tree.symlink(&path("long"), &meta(0o777), &[b'l'; 4050]).unwrap();
        for (name, special) in [
            ("dev/null", Special::Character { major: 1, minor: 3 }),
            ("dev/large", Special::Block { major: 4095, minor: 1_048_575 }),
            ("run/fifo", Special::Fifo),
        ] {
            tree.node(&path(name), &meta(0o666), special).unwrap();
        }
        tree.finish().unwrap();
        tree
    }

    fn written(tree: &MemoryTree) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        write(tree, IDENTITY, file.as_file()).unwrap();
        file
    }

    /// All that a walk says about each node, with its content.
    fn listed(root: &dyn Walk) -> Vec<String> {
        let (mut lines, mut names) = (Vec::new(), std::collections::BTreeMap::new());
        root.walk(&mut |visited| {
            let first = names.entry(visited.inode).or_insert_with(|| visited.path.to_vec()).clone();
            let mut content = Vec::new();
            if matches!(visited.kind, NodeKind::File { .. }) {
                visited.open()?.read_to_end(&mut content)?;
            }
            let content = crate::words::digest::Digest::of(&content);
            let (path, first) = (visited.path.escape_ascii(), first.escape_ascii());
            lines.push(format!("{path} {first} {:?} {:?} {} {content}", visited.kind, visited.meta, visited.links));
            Ok(())
        })
        .unwrap();
        lines
    }

    #[test]
    fn the_kernel_reads_what_was_written_and_fsck_finds_nothing_wrong() {
        let tree = tree();
        let file = written(&tree);
        Tool::new("fsck.erofs").arg(file.path()).run().unwrap();
        let place = tempfile::tempdir().unwrap();
        Tool::new("mount").args(["-t", "erofs", "-o", "loop,ro"]).arg(file.path()).arg(place.path()).run().unwrap();
        let seen = listed(&Root::open(place.path()).unwrap());
        Tool::new("umount").arg(place.path()).run().unwrap();
        let meant = listed(&tree);
        for (seen, meant) in seen.iter().zip(&meant) {
            assert_eq!(seen, meant);
        }
        assert_eq!(seen.len(), meant.len());
    }

    #[test]
    fn twice_the_same_root_gives_the_same_bytes() {
        let bytes = |file: &tempfile::NamedTempFile| std::fs::read(file.path()).unwrap();
        assert_eq!(bytes(&written(&tree())), bytes(&written(&tree())));
    }

    #[test]
    fn an_attribute_that_erofs_has_no_form_for_is_an_error() {
        let mut tree = MemoryTree::complete(std::env::temp_dir());
        tree.begin_layer().unwrap();
        let xattrs = vec![(b"btrfs.compression".to_vec(), b"zstd".to_vec())];
        tree.directory(&path("x"), &Meta { mode: 0o755, xattrs, ..Meta::default() }).unwrap();
        let file = tempfile::tempfile().unwrap();
        let error = format!("{:#}", write(&tree, IDENTITY, &file).unwrap_err());
        assert!(error.contains("btrfs.compression"), "{error}");
    }
}
