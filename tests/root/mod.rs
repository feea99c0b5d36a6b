//! Roots: the mounted one and the one in memory are edited, shown and walked over alike.

mod copies;
mod edits;
mod memory;
mod shown;
mod tars;
pub mod walked;
mod walks;

use crate::root::walked::assert_equal_walks;
use flipslot::error::Result;
use flipslot::layer::{Budget, LayerPath, RootSink, apply};
use flipslot::root::edit::Edit;
use flipslot::root::memory::MemoryTree;
use flipslot::root::mounted::directory::Root;
use flipslot::root::mounted::sink::MountedRoot;
use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;
use tempfile::TempDir;

/// More than any test needs.
const PLENTY: Budget = Budget { bytes: 1 << 30, entries: 1 << 20 };

/// Two roots that hold the same, and are changed together.
struct Both {
    folder: TempDir,
    mounted: Root,
    memory: MemoryTree,
}

impl Both {
    /// Two roots of these layers.
    fn of(layers: &[Vec<u8>]) -> Both {
        assert!(rustix::process::geteuid().is_root(), "this test makes devices and owners: run it as root");
        let folder = tempfile::tempdir().unwrap();
        let mut memory = MemoryTree::complete(folder.path().to_owned());
        fs::create_dir(folder.path().join("root")).unwrap();
        let mounted = empty_root(&folder.path().join("root"));
        write(layers, &mut MountedRoot::new(mounted).unwrap());
        write(layers, &mut memory);
        let mounted = Root::open(&folder.path().join("root")).unwrap();
        let both = Both { folder, mounted, memory };
        both.assert_equal();
        both
    }

    fn assert_equal(&self) {
        assert_equal_walks(&self.mounted, &self.memory);
    }

    /// Makes the same edit of both, after which they must hold the same; returns what the error says.
    fn edit(&mut self, edit: impl Fn(&mut dyn Edit) -> Result<()>) -> std::result::Result<(), String> {
        let done = [edit(&mut self.mounted), edit(&mut self.memory)];
        self.assert_equal();
        match done {
            [Ok(()), Ok(())] => Ok(()),
            [Err(error), Err(_)] => Err(format!("{error:#}")),
            done => panic!("mounted and in memory: {done:?}"),
        }
    }

    /// What both answer.
    fn ask<T: PartialEq + std::fmt::Debug>(&self, ask: impl Fn(&dyn Edit) -> T) -> T {
        let [mounted, memory] = [ask(&self.mounted), ask(&self.memory)];
        assert_eq!(mounted, memory, "mounted and in memory");
        mounted
    }
}

/// An empty directory as a root, with the time that a root in memory begins with.
fn empty_root(place: &Path) -> Root {
    File::open(place).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    Root::open(place).unwrap()
}

/// Applies layers, which must succeed.
fn write(layers: &[Vec<u8>], sink: &mut dyn RootSink) {
    layers.iter().try_for_each(|layer| apply(&layer[..], sink, &mut PLENTY.clone())).unwrap();
    sink.finish().unwrap();
}

fn path(raw: impl AsRef<[u8]>) -> LayerPath {
    LayerPath::clean(raw.as_ref()).unwrap()
}
