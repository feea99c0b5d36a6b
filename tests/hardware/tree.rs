//! A sysfs on disk, from what `capture.sh` has printed.

use flipslot::error::Result;
use flipslot::hardware::block::Block;
use flipslot::hardware::inventory::Role;
use flipslot::hardware::{Inventory, Sysfs};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

/// A q35 machine of QEMU with every kind of disk that it has, from the script's own run on it.
pub const Q35: &str = include_str!("q35.tree");
/// A microvm of QEMU: no PCI, no DMI.
pub const MICROVM: &str = include_str!("microvm.tree");

/// A copy of a machine's sysfs.
pub struct Tree(TempDir);

impl Tree {
    /// The tree that the script has printed.
    pub fn of(captured: &str) -> Tree {
        // In memory, as sysfs is: thousands of links are slow on a disk.
        let tree = Tree(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap());
        fs::create_dir(tree.root().join("devices")).unwrap();
        tree.with(captured)
    }

    /// The same with more entries, or others.
    pub fn with(self, entries: &str) -> Tree {
        for entry in entries.lines() {
            let (kind, rest) = entry.split_at(2);
            // Paths and targets may hold spaces: a target begins at "../", a text after a known name.
            let split = if kind == "l " { rest.find(" ../") } else { text_at(rest) };
            let (path, content) = split.map_or((rest, ""), |at| (&rest[..at], &rest[at + 1..]));
            let path = self.root().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let _ = fs::remove_file(&path);
            match kind {
                "d " => fs::create_dir_all(path).unwrap(),
                "l " => symlink(content, path).unwrap(),
                "f " => fs::write(path, format!("{content}\n")).unwrap(),
                _ => panic!("{entry}"),
            }
        }
        self
    }

    /// The same without what is at `path`.
    pub fn without(self, path: &str) -> Tree {
        let path = self.root().join(path);
        if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        self
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    pub fn sysfs(&self) -> Sysfs {
        Sysfs::at(self.root()).unwrap()
    }

    /// The block device that the kernel calls so.
    pub fn block(&self, name: &str) -> Block {
        self.sysfs().named(name).unwrap_or_else(|| panic!("no {name}"))
    }

    /// The inventory of a machine that boots from this block device.
    pub fn booting(&self, name: &str) -> Result<Inventory> {
        self.sysfs().inventory(&[self.block(name)])
    }

    /// What the boot disk hangs on: paths, and modules after them.
    pub fn way_to(&self, name: &str) -> Vec<String> {
        let inventory = self.booting(name).unwrap();
        let boot = inventory.devices.iter().filter(|device| device.role == Role::Boot);
        boot.map(|device| format!("{} {}", device.path, device.module.as_deref().unwrap_or("-"))).collect()
    }
}

/// Where the path ends: the first space after its last slash.
fn text_at(rest: &str) -> Option<usize> {
    let names = ["modalias", "model", "serial", "identity", "active", "sys_vendor", "product_name"];
    let ends = names.iter().filter_map(|name| {
        let end = format!("/{name} ");
        rest.find(&end).map(|at| at + end.len() - 1)
    });
    ends.min().or_else(|| rest.rfind(' '))
}
