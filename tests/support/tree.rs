//! What stands in a directory tree, entry by entry, to compare two trees or one before and after.

use flipslot::words::digest::Digest;
use rustix::fs::{lgetxattr, llistxattr};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Everything that one entry is. The size is that of a file or link; a directory's depends on its
/// filesystem and is 0 here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// `d`, `f`, `l`, `c`, `b`, `p` or `s`, as find(1) prints it.
    pub kind: char,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub mtime: (i64, i64),
    pub device: u64,
    /// What a symbolic link says.
    pub target: Vec<u8>,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first path, in byte order, that is the same inode.
    pub first_name: Vec<u8>,
    /// Digest of a regular file's content.
    pub content: Option<Digest>,
}

/// The entries below a directory by their path bytes; the directory itself is the empty path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree(pub BTreeMap<Vec<u8>, Node>);

impl Tree {
    /// Lists `directory`. No link is followed.
    pub fn of(directory: &Path) -> Tree {
        Tree::of_all_but(directory, None)
    }

    /// Lists `directory` without looking at what stands at `left_out` in it.
    fn of_all_but(directory: &Path, left_out: Option<&str>) -> Tree {
        let mut tree = Tree::default();
        let mut waiting = vec![Vec::new()];
        while let Some(path) = waiting.pop() {
            let place = directory.join(OsStr::from_bytes(&path));
            let node = node(if path.is_empty() { directory } else { &place }, &path);
            if node.kind == 'd' {
                for entry in fs::read_dir(&place).unwrap() {
                    let name = entry.unwrap().file_name().into_vec();
                    let path = if path.is_empty() { name } else { [&path[..], b"/", &name].concat() };
                    waiting.extend(Some(path).filter(|path| left_out.map(str::as_bytes) != Some(path)));
                }
            }
            tree.0.insert(path, node);
        }
        tree.find_hard_links(directory);
        tree
    }

    fn find_hard_links(&mut self, directory: &Path) {
        let mut first = BTreeMap::new();
        for (path, node) in &mut self.0 {
            let inode = fs::symlink_metadata(directory.join(OsStr::from_bytes(path))).unwrap().ino();
            node.first_name = first.entry(inode).or_insert_with(|| path.clone()).clone();
        }
    }

    /// The entry at `path`; a test that asks for one expects it.
    pub fn at(&self, path: impl AsRef<[u8]>) -> &Node {
        let path = path.as_ref();
        self.0.get(path).unwrap_or_else(|| panic!("nothing at '{}' among {:?}", path.escape_ascii(), self.names()))
    }

    /// Whether anything stands at `path`.
    pub fn has(&self, path: impl AsRef<[u8]>) -> bool {
        self.0.contains_key(path.as_ref())
    }

    /// All paths but the directory's own, escaped, sorted.
    pub fn names(&self) -> Vec<String> {
        self.0.keys().filter(|path| !path.is_empty()).map(|path| path.escape_ascii().to_string()).collect()
    }

    /// The tree without the extended attribute `name`.
    pub fn without_xattr(mut self, name: &str) -> Tree {
        self.0.values_mut().for_each(|node| drop(node.xattrs.remove(name.as_bytes())));
        self
    }

    /// What differs, an entry a line, `-` here and `+` there; empty if the trees are equal.
    pub fn difference(&self, other: &Tree) -> String {
        let mut text = String::new();
        let paths: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        for path in paths {
            let (here, there) = (self.0.get(path), other.0.get(path));
            if here != there {
                let name = path.escape_ascii();
                writeln!(text, "- /{name}: {}\n+ /{name}: {}", line(here), line(there)).unwrap();
            }
        }
        text
    }
}

fn line(node: Option<&Node>) -> String {
    let Some(node) = node else { return "nothing".to_owned() };
    let mut text = format!(
        "{} {:04o} {}:{} {} bytes, {}.{:09}, device {:x}, link '{}', inode of /{}",
        node.kind,
        node.mode,
        node.uid,
        node.gid,
        node.size,
        node.mtime.0,
        node.mtime.1,
        node.device,
        node.target.escape_ascii(),
        node.first_name.escape_ascii()
    );
    for (name, value) in &node.xattrs {
        write!(text, ", {}={}", name.escape_ascii(), value.escape_ascii()).unwrap();
    }
    node.content.iter().for_each(|digest| write!(text, ", {digest}").unwrap());
    text
}

fn node(place: &Path, path: &[u8]) -> Node {
    let stat = fs::symlink_metadata(place).unwrap();
    // The types and their bits: inode(7).
    let kind = match stat.mode() & 0o170_000 {
        0o040_000 => 'd',
        0o100_000 => 'f',
        0o120_000 => 'l',
        0o020_000 => 'c',
        0o060_000 => 'b',
        0o010_000 => 'p',
        _ => 's',
    };
    Node {
        kind,
        mode: stat.mode() & 0o7777,
        uid: stat.uid(),
        gid: stat.gid(),
        size: if kind == 'd' { 0 } else { stat.size() },
        mtime: (stat.mtime(), stat.mtime_nsec()),
        device: stat.rdev(),
        target: if kind == 'l' { fs::read_link(place).unwrap().into_os_string().into_vec() } else { Vec::new() },
        xattrs: xattrs(place),
        first_name: path.to_vec(),
        content: (kind == 'f').then(|| Digest::of(&fs::read(place).unwrap())),
    }
}

fn xattrs(place: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    // XATTR_LIST_MAX and XATTR_SIZE_MAX are both 64 KiB (linux/limits.h).
    let mut buffer = vec![0; 65536];
    let length = match llistxattr(place, &mut buffer[..]) {
        // A squashfs without any attribute.
        Err(Errno::OPNOTSUPP) => 0,
        length => length.unwrap(),
    };
    let names: Vec<Vec<u8>> = buffer[..length].split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    let mut all = BTreeMap::new();
    for name in names.into_iter().filter(|name| !name.is_empty()) {
        let length = lgetxattr(place, &name[..], &mut buffer[..]).unwrap();
        all.insert(name, buffer[..length].to_vec());
    }
    all
}

/// A digest of everything in `folder` but the slot root `root` in it: what an archive must never
/// change. The folder's own time is part of it, so a file that came and went is seen too.
pub fn outside(folder: &Path, root: &str) -> Digest {
    Digest::of(format!("{:?}", Tree::of_all_but(folder, Some(root))).as_bytes())
}
