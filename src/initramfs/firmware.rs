//! Finds the firmware that a kernel module requests when it starts its device (`modinfo -F firmware`).

use crate::error::Result;
use crate::initramfs::read::contents::Contents;
use crate::kernel::find::Kernel;
use crate::kernel::modules::Modules;
use crate::kernel::{elf, find as kernel, module_file};
use crate::root::tree::Tree;
use serde::Serialize;

/// Maximum number of firmware names that are read of one module.
const NAMES_MAX: usize = 256;
/// Folders of firmware, with a merged /usr and without, and those in which a distribution puts updates that
/// come first (kernel: driver-api/firmware/fw_search_path.rst).
const FOLDERS: [&str; 4] = ["usr/lib/firmware/updates", "usr/lib/firmware", "lib/firmware/updates", "lib/firmware"];
/// Suffixes of firmware files: kernels also load compressed ones (`CONFIG_FW_LOADER_COMPRESS`).
const SUFFIXES: [&str; 3] = ["", ".xz", ".zst"];

/// A firmware file that a module may request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Firmware {
    /// Path below the folders for firmware.
    pub name: String,
    /// True if the slot has it.
    pub in_slot: bool,
    /// True if the initramfs has it; `None` if there is no initramfs yet.
    pub in_initramfs: Option<bool>,
}

/// Returns the firmware names that a module lists (`MODULE_FIRMWARE`), in order. It requests only some of them,
/// depending on the device. Returns none for a tree in which the contents of modules were not kept.
pub fn of_module(tree: &dyn Tree, kernel: &Kernel, modules: &Modules, module: &str) -> Result<Vec<String>> {
    let place = kernel::modules(tree, kernel).zip(modules.path(module));
    let Some((folder, path)) = place else { return Ok(Vec::new()) };
    let path = format!("{folder}/{path}");
    let Ok(Some(file)) = tree.open(&path) else { return Ok(Vec::new()) };
    Ok(listed_in(&module_file::read(&path, file)?))
}

/// Returns the firmware names in the bytes of a module.
pub(in crate::initramfs) fn listed_in(module: &[u8]) -> Vec<String> {
    let modinfo = elf::section(module, ".modinfo").unwrap_or_default();
    let names = modinfo.split(|byte| *byte == 0).filter_map(|entry| entry.strip_prefix(b"firmware="));
    names.take(NAMES_MAX).map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

/// Returns the paths at which a kernel looks for the firmware `name`, best first.
pub(in crate::initramfs) fn paths(name: &str) -> impl Iterator<Item = String> {
    let folders = FOLDERS.iter().map(move |folder| format!("{folder}/{name}"));
    folders.flat_map(|path| SUFFIXES.map(|suffix| format!("{path}{suffix}")))
}

/// Looks for the firmware `name` in a slot and in its initramfs.
pub fn find(tree: &dyn Tree, initramfs: Option<&Contents>, name: String) -> Firmware {
    let in_slot = paths(&name).any(|path| tree.has_file(&path));
    let in_initramfs = initramfs.map(|contents| paths(&name).any(|path| contents.has(&path)));
    Firmware { name, in_slot, in_initramfs }
}
