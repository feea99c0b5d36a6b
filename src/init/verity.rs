//! An image in a file, each block of which the kernel compares as it is read (dm-verity), so that a start need not read all
//! of it first.

use crate::error::{Result, failed};
use crate::init::image_file::looped;
use crate::init::load::Loader;
use crate::init::overlay::TREE_OF_ROOT;
use crate::sys::device_mapper::{CONTROL, VERITY_BLOCK as BLOCK, make_read_only};
use anyhow::Context;
use std::fs::{self, File};

/// Name of the device.
const NAME: &str = "flipslot-root";

/// Makes a device of the file at `path`, with the tree of hashes beside it, which leads to this hash; returns its path. A
/// block that has another one cannot be read; if the start is a trial, it ends it.
pub fn open(path: &str, root_hash: &str, is_trial: bool, loader: &mut Loader) -> Result<String> {
    if root_hash.len() != 64 || !root_hash.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(failed(format!("'{root_hash}' is not a hash"), "write the slot again: flipslot flash"));
    }
    loader.load(&["loop", "dm_mod", "dm_verity"]);
    let control = File::open(CONTROL).context("this kernel has no device mapper")?;
    let size = fs::metadata(path).with_context(|| format!("reading {path}"))?.len();
    let tree = format!("{path}{TREE_OF_ROOT}");
    let (data, data_attached) = looped(path).with_context(|| format!("attaching {path}"))?;
    let (hashes, hashes_attached) = looped(&tree).with_context(|| format!("attaching {tree}"))?;
    let (blocks, sectors) = (size / BLOCK as u64, size / 512);
    // Version of the hashes, devices, sizes of blocks, number of blocks, first block of the tree behind its superblock,
    // algorithm, hash, no salt, an option (kernel: admin-guide/device-mapper/verity.rst).
    // A proven slot would restart for ever.
    let option = if is_trial { " 1 restart_on_corruption" } else { "" };
    let table =
        format!("1 {data} {hashes} {BLOCK} {BLOCK} {blocks} 1 sha256 {} -{option}", root_hash.to_ascii_lowercase());
    let number = make_read_only(&control, NAME, sectors, "verity", &table)
        .with_context(|| format!("comparing the blocks of {path} (dm-verity)"))?;
    drop((data_attached, hashes_attached)); // the device keeps both
    Ok(format!("/dev/dm-{number}"))
}
