//! Writes an initramfs with this init: when a slot is made, and in a machine that starts the kernel of its image.

use crate::archive::write_cpio::Archive;
use crate::error::Result;
use crate::init::plan::{self, Plan};
use std::collections::BTreeMap;
use std::io::Write;

/// Permissions of a file.
const FILE: u32 = 0o100_644;

/// Writes the program, its plan and these files, which are named by their paths. More may be added to what is returned.
pub fn write_own<W: Write>(out: W, init: &[u8], plan: &Plan, files: &BTreeMap<String, Vec<u8>>) -> Result<Archive<W>> {
    let mut archive = Archive::to(out);
    archive.add("dev", 0o40_755, &[])?;
    // Where the kernel finds no console, the program is started without descriptors, and opens /dev/null for them before
    // it can mount anything.
    for (path, numbers) in [("dev/console", (5, 1)), ("dev/null", (1, 3))] {
        archive.add_device(path, numbers)?;
    }
    archive.add("init", 0o100_755, init)?;
    archive.add(plan::PATH, FILE, &serde_json::to_vec(plan)?)?;
    files.iter().try_for_each(|(path, bytes)| archive.add(path, FILE, bytes))?;
    Ok(archive)
}
