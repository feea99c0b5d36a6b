//! An image's root filesystem in memory: every name with all metadata, and of the contents all of them or what
//! the rules read. Needs neither a disk nor privileges.

mod edit;
mod meta;
mod nodes;
mod resolve;
pub mod retention;
mod show;
mod sink;
pub mod spool;
mod tree;
mod walk;
mod whiteouts;

use crate::layer::Budget;
use crate::root::lookups::Lookups;
use crate::root::memory::nodes::Nodes;
use crate::root::memory::retention::{Retention, rules_read};
use crate::root::memory::spool::{Contents, Limits};
use std::path::PathBuf;

/// A root in memory that layers stream into, that rules read, that edits change, that programs run in, and that
/// writers walk over: it implements the same traits as a mounted root.
///
/// Treats an image's entries as [`MountedRoot`](crate::root::mounted::sink::MountedRoot) does, and refuses what that
/// refuses, except for what depends on a filesystem: its room, the longest attribute, the range of its times.
///
/// Memory: 64 MiB for contents; in addition, for names and metadata, about 300 bytes for each file and 600 for
/// each directory, at most 1 GiB for an image that was made to fill it. Contents for which there is no room are in
/// one file without a name.
pub struct MemoryTree {
    nodes: Nodes,
    contents: Contents,
    /// Selects what is retained of contents; `None` retains all.
    retention: Option<Retention>,
    lookups: Lookups,
}

impl MemoryTree {
    /// Makes an empty root that will retain the contents that the rules read: at most 2 GiB of them, those that
    /// memory has no room for in `$TMPDIR`.
    pub fn for_rules() -> MemoryTree {
        MemoryTree::retaining(rules_read)
    }

    /// Like [`MemoryTree::for_rules`], but retains what `retention` selects.
    pub fn retaining(retention: Retention) -> MemoryTree {
        MemoryTree::with(Contents::new(Limits::FOR_RULES, std::env::temp_dir()), Some(retention))
    }

    /// Makes an empty root that will retain all contents, those that memory has no room for in a file in
    /// `folder`. Their length is limited only by the budget of what is applied.
    pub fn complete(folder: PathBuf) -> MemoryTree {
        MemoryTree::with(Contents::new(Limits::COMPLETE, folder), None)
    }

    fn with(contents: Contents, retention: Option<Retention>) -> MemoryTree {
        MemoryTree { nodes: Nodes::new(), contents, retention, lookups: Lookups::default() }
    }

    /// Returns the limits for an image: as many entries as fit into the memory that names may take, and more
    /// bytes than any slot has, since most of them are not retained.
    pub fn budget() -> Budget {
        Budget { bytes: 1 << 40, entries: 4 << 20 }
    }
}
