//! What a walk visits, in its order, to compare two of them.

use flipslot::layer::entry::Meta;
use flipslot::root::walk::{NodeKind, Walk};
use flipslot::words::digest::Digest;
use std::collections::HashMap;

/// Everything that a walk says of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: Vec<u8>,
    pub meta: Meta,
    pub kind: NodeKind,
    pub links: u64,
    /// The first path that is the same node.
    pub first_name: Vec<u8>,
    /// Digest of a regular file's content.
    pub content: Option<Digest>,
}

/// All entries of a walk, in its order.
pub fn walked(root: &dyn Walk) -> Vec<Entry> {
    let (mut entries, mut first_names) = (Vec::new(), HashMap::new());
    root.walk(&mut |visited| {
        let first = first_names.entry(visited.inode).or_insert_with(|| visited.path.to_vec());
        let content = if let NodeKind::File { size } = visited.kind {
            let mut bytes = Vec::new();
            visited.open()?.read_to_end(&mut bytes)?;
            assert_eq!(bytes.len() as u64, size, "/{}", visited.path.escape_ascii());
            Some(Digest::of(&bytes))
        } else {
            assert!(visited.open().is_err(), "/{}", visited.path.escape_ascii());
            None
        };
        entries.push(Entry {
            path: visited.path.to_vec(),
            meta: visited.meta.clone(),
            kind: visited.kind.clone(),
            links: visited.links,
            first_name: first.clone(),
            content,
        });
        Ok(())
    })
    .unwrap();
    entries
}

/// All paths of a walk, escaped, in its order.
pub fn paths(root: &dyn Walk) -> Vec<String> {
    walked(root).iter().map(|entry| entry.path.escape_ascii().to_string()).collect()
}

/// Panics at the first entry in which two walks differ.
pub fn assert_equal_walks(one: &dyn Walk, two: &dyn Walk) {
    assert_equal_entries(&walked(one), &walked(two));
}

/// Panics at the first entry that differs.
pub fn assert_equal_entries(one: &[Entry], two: &[Entry]) {
    for (one, two) in one.iter().zip(two) {
        assert_eq!(one, two, "/{} and /{}", one.path.escape_ascii(), two.path.escape_ascii());
    }
    assert_eq!(one.len(), two.len(), "entries");
}
