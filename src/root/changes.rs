//! Changes of a root since an earlier look at it: what flipslot added to an image.

use crate::error::Result;
use crate::layer::entry::Meta;
use crate::root::walk::{NodeKind, Visited, Walk};
use std::collections::{BTreeMap, BTreeSet};

/// A root as it was: the nodes by their paths.
pub struct Snapshot(BTreeMap<Vec<u8>, Seen>);

/// A node, as far as a change of it can be told.
#[derive(PartialEq, Eq)]
struct Seen {
    inode: u64,
    meta: Meta,
    kind: NodeKind,
}

/// A change.
pub enum Change<'c, 'v> {
    /// A node is new, or another one.
    Put(&'c Visited<'v>),
    /// The node at this path is gone, and those below it, and the directory around it is there.
    Removed(&'c [u8]),
}

impl Snapshot {
    /// Looks at all nodes of a root, each of which keeps its inode as long as it is the same.
    pub fn of(root: &dyn Walk) -> Result<Snapshot> {
        let mut nodes = BTreeMap::new();
        root.walk(&mut |node| {
            nodes.insert(node.path.to_owned(), seen(node));
            Ok(())
        })?;
        Ok(Snapshot(nodes))
    }

    /// Calls `visit` with each change of the root since then, and with the directories above it, each before what is
    /// below it.
    pub fn changes(mut self, root: &dyn Walk, visit: &mut dyn FnMut(&Change) -> Result<()>) -> Result<()> {
        let (mut paths, mut leaves) = (BTreeSet::new(), BTreeSet::new());
        root.walk(&mut |node| {
            if self.0.remove(node.path).as_ref() != Some(&seen(node)) {
                paths.insert(node.path.to_owned());
                if node.kind != NodeKind::Directory {
                    leaves.insert(node.path.to_owned());
                }
            }
            Ok(())
        })?;
        // What was in a directory that is another thing now went with it.
        let removed: BTreeSet<_> =
            self.0.into_keys().filter(|path| !above(path).any(|it| leaves.contains(it))).collect();
        let leading: BTreeSet<_> = paths.iter().chain(&removed).flat_map(|path| above(path)).collect();
        root.walk(&mut |node| {
            let leads_to_one = node.kind == NodeKind::Directory && leading.contains(node.path);
            if leads_to_one || paths.contains(node.path) { visit(&Change::Put(node)) } else { Ok(()) }
        })?;
        for path in removed.iter().filter(|path| !above(path).any(|it| removed.contains(it))) {
            visit(&Change::Removed(path))?;
        }
        Ok(())
    }
}

/// Returns the directories above a path, the root with its empty path first; the root has none.
fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let root = (!path.is_empty()).then_some(&path[..0]);
    root.into_iter().chain((0..path.len()).filter(|at| path[*at] == b'/').map(|at| &path[..at]))
}

fn seen(node: &Visited) -> Seen {
    Seen { inode: node.inode, meta: node.meta.clone(), kind: node.kind.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::LayerPath;
    use crate::layer::RootSink;
    use crate::root::edit::Edit;
    use crate::root::memory::MemoryTree;

    /// The changes since a snapshot, removed paths with a `-` before them.
    fn told(snapshot: Snapshot, tree: &MemoryTree) -> Vec<String> {
        let mut told = Vec::new();
        snapshot
            .changes(tree, &mut |change| {
                told.push(match change {
                    Change::Put(node) => String::from_utf8_lossy(node.path).into_owned(),
                    Change::Removed(path) => format!("-{}", String::from_utf8_lossy(path)),
                });
                Ok(())
            })
            .unwrap();
        told
    }

    #[test]
    fn what_was_put_or_removed_is_told_with_the_directories_above() {
        let folder = tempfile::tempdir().unwrap();
        let mut tree = MemoryTree::complete(folder.path().to_owned());
        let path = |text: &str| LayerPath::clean(text.as_bytes()).unwrap();
        for file in ["/etc/hosts", "/etc/motd", "/usr/lib/x/y", "/var/z"] {
            tree.put_text(&path(file), b"old").unwrap();
        }
        let snapshot = Snapshot::of(&tree).unwrap();
        tree.put_text(&path("/etc/hosts"), b"new").unwrap();
        tree.put_text(&path("/opt/more/file"), b"new").unwrap();
        tree.remove(&path("/usr/lib/x/y")).unwrap();
        let told = told(snapshot, &tree);
        let put = ["", "etc", "etc/hosts", "opt", "opt/more", "opt/more/file", "usr", "usr/lib", "usr/lib/x"];
        assert_eq!(told[..put.len()], put);
        assert_eq!(told[put.len()..], ["-usr/lib/x/y"]);
    }

    #[test]
    fn what_was_in_a_directory_that_is_a_file_now_is_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut tree = MemoryTree::complete(folder.path().to_owned());
        let path = |text: &str| LayerPath::clean(text.as_bytes()).unwrap();
        tree.put_text(&path("/etc/x/deep/file"), b"").unwrap();
        tree.put_text(&path("/etc/y"), b"").unwrap();
        let snapshot = Snapshot::of(&tree).unwrap();
        tree.file(&path("/etc/x"), &Meta::default(), &mut &b"new"[..]).unwrap();
        tree.remove(&path("/etc/y")).unwrap();
        let told = told(snapshot, &tree);
        assert_eq!(told, ["", "etc", "etc/x", "-etc/y"]);
    }
}
