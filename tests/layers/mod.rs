//! Layers: what they may do to a slot, and what they may never do.
//!
//! The names of tests begin with the row of the list of bad inputs that they check.

mod archive;
mod faults;
mod hostile;
mod kept;
mod kept_random;
mod limits;
mod links;
mod metadata;
mod names;
mod python;
mod race;
mod sizes;
mod sparse;
pub mod umoci;
pub mod umoci_random;
mod whiteouts;

use crate::root::walked::assert_equal_walks;
use crate::support::tree::{Tree, outside};
use flipslot::error::Result;
use flipslot::layer::{Budget, RootSink, apply};
use flipslot::root::memory::MemoryTree;
use flipslot::root::mounted::directory::{Resolver, Root};
use flipslot::root::mounted::sink::MountedRoot;
use flipslot::words::digest::Digest;
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::BufRead;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::TempDir;

/// More than any test needs.
const PLENTY: Budget = Budget { bytes: 1 << 30, entries: 1 << 20 };

/// A slot root with victims beside it. Whatever is applied, the victims must stay as they are.
///
/// What is applied to the root is applied to a [`MemoryTree`] too, and must come to the same.
struct Sandbox {
    folder: TempDir,
    resolver: Resolver,
    before: Digest,
    /// `None` once a layer was refused: what half a layer leaves is nobody's promise.
    kept: RefCell<Option<MemoryTree>>,
}

impl Sandbox {
    fn new(resolver: Resolver) -> Sandbox {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test makes devices and owners: run it as root: sudo make test"
        );
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        fs::create_dir(place("root")).unwrap();
        fs::create_dir_all(place("victim/inner")).unwrap();
        fs::create_dir(place("root-evil")).unwrap();
        for (name, mode) in
            [("victim/hello", 0o600), ("victim/inner/file", 0o4755), ("root-evil/secret", 0o400), ("x", 0o644)]
        {
            fs::write(place(name), format!("the content of {name}")).unwrap();
            fs::set_permissions(place(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(place("victim"), fs::Permissions::from_mode(0o700)).unwrap();
        // A root in memory begins in 1970.
        File::open(place("root")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let before = outside(folder.path(), "root");
        let kept = RefCell::new(Some(MemoryTree::complete(std::env::temp_dir())));
        Sandbox { folder, resolver, before, kept }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn victim(&self) -> PathBuf {
        self.folder.path().join("victim")
    }

    fn sink(&self) -> MountedRoot {
        MountedRoot::new(Root::open_with(&self.root(), self.resolver).unwrap()).unwrap()
    }

    /// Applies `layers`, and panics if anything beside the root is not what it was.
    fn apply(&self, layers: &[Vec<u8>]) -> Result<()> {
        let (mut sink, mut budget) = (self.sink(), PLENTY);
        let written = layers.iter().try_for_each(|layer| apply(&layer[..], &mut sink, &mut budget));
        let done = written.and_then(|()| sink.finish());
        self.assert_outside_is_unchanged();
        self.assert_the_same_is_kept(layers, &done);
        done
    }

    /// Applies `layers` to the kept tree, and panics if that has not `done` what the root has.
    fn assert_the_same_is_kept(&self, layers: &[Vec<u8>], done: &Result<()>) {
        let Some(mut tree) = self.kept.take() else { return };
        let mut budget = PLENTY;
        let kept = layers.iter().try_for_each(|layer| apply(&layer[..], &mut tree, &mut budget));
        match (done, kept) {
            (Ok(()), Ok(())) => {
                let written = Root::open_with(&self.root(), self.resolver).unwrap();
                kept::assert_same(&written, &tree);
                assert_equal_walks(&written, &tree);
            }
            (Err(_), Err(_)) => return,
            (done, kept) => panic!("written with {:?}: {done:?}, kept: {kept:?}", self.resolver),
        }
        self.kept.replace(Some(tree));
    }

    /// Applies one layer with a budget, and panics if anything beside the root is not what it was.
    fn apply_within(&self, budget: &mut Budget, layer: impl BufRead) -> Result<()> {
        let mut sink = self.sink();
        self.kept.take(); // which lacks this layer from here on
        let done = apply(layer, &mut sink, budget).and_then(|()| sink.finish());
        self.assert_outside_is_unchanged();
        done
    }

    fn assert_outside_is_unchanged(&self) {
        assert_eq!(outside(self.folder.path(), "root"), self.before, "something beside the root was changed");
    }

    /// Applies `layers`, which must succeed, and lists what they made.
    fn tree_of(&self, layers: &[Vec<u8>]) -> Tree {
        self.apply(layers).unwrap_or_else(|error| panic!("{:?}: {error:#}", self.resolver));
        self.tree()
    }

    /// Applies `layers`, which must fail, and returns what the error says.
    fn refusal_of(&self, layers: &[Vec<u8>]) -> String {
        let error = self.apply(layers).expect_err(&format!("refused with {:?}", self.resolver));
        format!("{error:#}")
    }

    fn tree(&self) -> Tree {
        Tree::of(&self.root())
    }

    fn read(&self, path: impl AsRef<Path>) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }
}

/// Runs `check` with the kernel's resolver and with ours, each in a sandbox of its own.
fn with_both_resolvers(check: impl Fn(&Sandbox)) {
    for resolver in [Resolver::Openat2, Resolver::Walk] {
        check(&Sandbox::new(resolver));
    }
}

/// A sandbox for what does not depend on how paths are resolved.
fn sandbox() -> Sandbox {
    Sandbox::new(Resolver::of_this_kernel())
}
