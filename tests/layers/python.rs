//! What flipslot reads of an archive, beside what Python's tarfile reads of it: the same random images as for umoci, and
//! every form that tar(1) writes. Both list their entries, one a line.

use super::umoci_random::{IMAGES, image};
use crate::support::program::tool;
use crate::support::tar::Tar;
use flipslot::error::Result;
use flipslot::layer::entry::{Meta, Node, Time};
use flipslot::layer::{Budget, LayerPath, RootSink, apply};
use std::fmt::Write as _;
use std::fs;
use std::io::BufRead;
use std::path::Path;

/// Lists an archive as the sink below does. PAX times have nanoseconds, which a float does not: the text is read.
const SCRIPT: &str = r#"
import hashlib, sys, tarfile, posixpath
def clean(name):
    parts = []
    for part in name.split('/'):
        if part == '..': parts[-1:] = []
        elif part not in ('', '.'): parts.append(part)
    return '/'.join(parts)
def time(entry):
    text = entry.pax_headers.get('mtime', str(int(entry.mtime)))
    whole, _, part = text.partition('.')
    seconds, nanos = int(whole), int((part + '000000000')[:9])
    if text.startswith('-') and nanos: seconds, nanos = seconds - 1, 1000000000 - nanos
    return f'{seconds}.{nanos:09}'
for path in sys.argv[1:]:
    print('archive')
    for entry in (archive := tarfile.open(path, encoding='utf-8', errors='surrogateescape')):
        name = clean(entry.name)
        base, folder = posixpath.basename(name), posixpath.dirname(name)
        if base == '.wh..wh..opq': print('opaque', folder); continue
        if base.startswith('.wh.'): print('whiteout', posixpath.join(folder, base[4:])); continue
        meta = f'{entry.mode & 0o7777:o} {entry.uid} {entry.gid} {time(entry)}'
        if entry.isdir(): print('dir', name, meta)
        elif entry.isreg() or entry.issparse():
            print('file', name, meta, hashlib.sha256(archive.extractfile(entry).read()).hexdigest())
        elif entry.issym(): print('link', name, meta, entry.linkname)
        elif entry.islnk(): print('hard', name, clean(entry.linkname))
        elif entry.isfifo(): print('fifo', name, meta)
        else: print('node', name, meta, entry.devmajor, entry.devminor)
"#;

/// Lists the entries that it is given.
#[derive(Default)]
struct Lister(String);

fn meta(meta: &Meta) -> String {
    let Meta { mode, uid, gid, mtime: Time { seconds, nanoseconds }, .. } = meta;
    format!("{mode:o} {uid} {gid} {seconds}.{nanoseconds:09}")
}

/// The path as Python's names are: nothing for the root.
fn name(path: &LayerPath) -> String {
    if path.is_root() { String::new() } else { String::from_utf8(path.as_bytes().to_vec()).unwrap() }
}

impl RootSink for Lister {
    fn begin_layer(&mut self) -> Result<()> {
        Ok(writeln!(self.0, "archive")?)
    }

    fn directory(&mut self, path: &LayerPath, found: &Meta) -> Result<()> {
        Ok(writeln!(self.0, "dir {} {}", name(path), meta(found))?)
    }

    fn file(&mut self, path: &LayerPath, found: &Meta, body: &mut dyn BufRead) -> Result<()> {
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes)?;
        let digest = flipslot::words::digest::Digest::of(&bytes);
        Ok(writeln!(self.0, "file {} {} {}", name(path), meta(found), digest.hex())?)
    }

    fn symlink(&mut self, path: &LayerPath, found: &Meta, target: &[u8]) -> Result<()> {
        let target = String::from_utf8(target.to_vec())?;
        Ok(writeln!(self.0, "link {} {} {target}", name(path), meta(found))?)
    }

    fn hardlink(&mut self, path: &LayerPath, target: &LayerPath) -> Result<()> {
        Ok(writeln!(self.0, "hard {} {}", name(path), name(target))?)
    }

    fn node(&mut self, path: &LayerPath, found: &Meta, node: Node) -> Result<()> {
        let (path, meta) = (name(path), meta(found));
        let line = match node {
            Node::Fifo => format!("fifo {path} {meta}"),
            Node::Character { major, minor } | Node::Block { major, minor } => {
                format!("node {path} {meta} {major} {minor}")
            }
        };
        Ok(writeln!(self.0, "{line}")?)
    }

    fn whiteout(&mut self, path: &LayerPath) -> Result<()> {
        Ok(writeln!(self.0, "whiteout {}", name(path))?)
    }

    fn opaque(&mut self, path: &LayerPath) -> Result<()> {
        Ok(writeln!(self.0, "opaque {}", name(path))?)
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Fails unless both list the same of these archives.
fn assert_same(archives: &[Vec<u8>]) {
    let folder = tempfile::tempdir().unwrap();
    let mut lister = Lister::default();
    let mut paths = Vec::new();
    for (number, archive) in archives.iter().enumerate() {
        let path = folder.path().join(number.to_string());
        fs::write(&path, archive).unwrap();
        paths.push(path.to_string_lossy().into_owned());
        let mut budget = Budget { bytes: 1 << 30, entries: 1 << 20 };
        apply(&archive[..], &mut lister, &mut budget).unwrap();
    }
    let arguments: Vec<&str> = ["-c", SCRIPT].into_iter().chain(paths.iter().map(String::as_str)).collect();
    let theirs = tool("python3", &arguments);
    for (number, (theirs, ours)) in theirs.lines().zip(lister.0.lines()).enumerate() {
        assert_eq!(theirs.trim_end(), ours.trim_end(), "line {number}");
    }
    assert_eq!(theirs.lines().count(), lister.0.lines().count());
}

#[test]
fn python_reads_the_same_of_random_images() {
    for seeds in (1..=IMAGES).collect::<Vec<_>>().chunks(50) {
        let layers = seeds.iter().flat_map(|seed| image(*seed)).map(Tar::of);
        assert_same(&layers.collect::<Vec<_>>());
    }
}

#[test]
fn python_reads_the_same_of_every_form_that_tar_writes() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    let deep = tree.join("directory-with-a-long-name/".repeat(4)).join("f".repeat(120));
    fs::create_dir_all(deep.parent().unwrap()).unwrap();
    fs::write(&deep, "deep").unwrap();
    fs::hard_link(&deep, tree.join("second")).unwrap();
    std::os::unix::fs::symlink("x".repeat(150), tree.join("link")).unwrap();
    let mut sparse = vec![0; 1 << 20];
    sparse[600_000..600_004].copy_from_slice(b"data");
    fs::write(tree.join("sparse"), sparse).unwrap();
    tool("fallocate", &["--dig-holes", &tree.join("sparse").to_string_lossy()]);
    let made = |form: &str| {
        let path = folder.path().join("archive.tar");
        let words = ["--create", "--sparse", "--sort=name", &format!("--format={form}"), "-C"];
        tool("tar", &[&words[..], &[&tree.to_string_lossy(), "-f", &path.to_string_lossy(), "."]].concat());
        fs::read(Path::new(&path)).unwrap()
    };
    assert_same(&["gnu", "oldgnu", "pax"].map(made));
}
