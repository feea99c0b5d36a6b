//! The firmware that a kernel module asks for when it starts its device: `modinfo -F firmware`.

use crate::boot::contents::Contents;
use crate::boot::elf;
use crate::boot::kernel::{self, Kernel};
use crate::boot::modules::Modules;
use crate::boot::unpack::{Compression, decoded};
use crate::error::Result;
use crate::filesystem::Tree;
use anyhow::Context;
use serde::Serialize;
use std::io::{BufReader, Read};

/// More bytes than any module has, unpacked; amdgpu of Debian 13 has 30 MB.
const MODULE_MAX: u64 = 128 << 20;
/// More names than are worth looking for.
const NAMES_MAX: usize = 256;
/// Where firmware is (kernel: driver-api/firmware/fw_search_path.rst), with a merged /usr and without;
/// also what a distribution puts before it.
const FOLDERS: [&str; 4] = ["usr/lib/firmware/updates", "usr/lib/firmware", "lib/firmware/updates", "lib/firmware"];
/// A kernel takes it compressed, too (`CONFIG_FW_LOADER_COMPRESS`).
const SUFFIXES: [&str; 3] = ["", ".xz", ".zst"];

/// A file that a module may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Firmware {
    /// Its name, below the folders for firmware.
    pub name: String,
    /// Whether the slot has it.
    pub in_slot: bool,
    /// Whether the initramfs has it; not known where there is none yet.
    pub in_initramfs: Option<bool>,
}

/// The names that a module says of itself (`MODULE_FIRMWARE`), in their order. It asks for some of them:
/// which, depends on the device. None are known of a tree that did not keep its modules.
pub fn of_module(tree: &dyn Tree, kernel: &Kernel, modules: &Modules, module: &str) -> Result<Vec<String>> {
    let place = kernel::modules(tree, kernel).zip(modules.path(module));
    let Some((folder, path)) = place else { return Ok(Vec::new()) };
    let path = format!("{folder}/{path}");
    let Ok(Some(file)) = tree.open(&path) else { return Ok(Vec::new()) };
    let mut bytes = Vec::new();
    decoded(Compression::of_name(&path), BufReader::new(file))?
        .take(MODULE_MAX)
        .read_to_end(&mut bytes)
        .with_context(|| format!("reading /{path}"))?;
    let modinfo = elf::section(&bytes, ".modinfo").unwrap_or_default();
    let names = modinfo.split(|byte| *byte == 0).filter_map(|entry| entry.strip_prefix(b"firmware="));
    Ok(names.take(NAMES_MAX).map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

/// Looks for a file of that name.
pub fn find(tree: &dyn Tree, initramfs: Option<&Contents>, name: String) -> Firmware {
    let paths = || {
        let folders = FOLDERS.iter().map(|folder| format!("{folder}/{name}"));
        folders.flat_map(|path| SUFFIXES.map(|suffix| format!("{path}{suffix}")))
    };
    let in_slot = paths().any(|path| tree.has_file(&path));
    let in_initramfs = initramfs.map(|contents| paths().any(|path| contents.has(&path)));
    Firmware { name, in_slot, in_initramfs }
}
