//! Swap in compressed memory (`flipslot.zram=`): a root that is only just too large for a machine comes up in it.

use crate::error::Result;
use crate::init::load::Loader;
use crate::sys::swap;
use anyhow::Context;
use std::fs;
use std::os::unix::fs::FileExt;

/// Modules that it needs: the driver, and the compression that kernels choose by default (`ZRAM_DEF_COMP_LZORLE`).
pub const MODULES: [&str; 2] = ["zram", "lzo-rle"];
/// The device, which the driver makes when it is loaded.
const DEVICE: &str = "/dev/zram0";
/// Size of a page in bytes.
const PAGE: usize = 4096;

/// Starts to swap to a device of this size before compression, as the kernel reads a size: `512M`, `1G`.
pub fn swap_into(size: &str, loader: &mut Loader) -> Result<()> {
    loader.load(&MODULES.map(|name| name.replace('-', "_")).iter().map(String::as_str).collect::<Vec<_>>());
    fs::write("/sys/block/zram0/disksize", size).with_context(|| format!("giving zram0 a size of {size}"))?;
    let sectors = fs::read_to_string("/sys/block/zram0/size").context("reading the size of zram0")?;
    let bytes = sectors.trim().parse::<u64>().context("reading the size of zram0")?.saturating_mul(512);
    let device = fs::File::options().write(true).open(DEVICE).with_context(|| format!("opening {DEVICE}"))?;
    device.write_all_at(&header(bytes)?, 0).with_context(|| format!("writing {DEVICE}"))?;
    swap::on(DEVICE).with_context(|| format!("swapping to {DEVICE}"))
}

/// Returns the first page of a swap area of this length (linux/swap.h, `union swap_header`).
fn header(bytes: u64) -> Result<Vec<u8>> {
    let last = u32::try_from(bytes / PAGE as u64 - 1).context("the size of zram0 is too large")?;
    let mut page = vec![0; PAGE];
    page[1024..1028].copy_from_slice(&1u32.to_le_bytes()); // version
    page[1028..1032].copy_from_slice(&last.to_le_bytes());
    page[PAGE - 10..].copy_from_slice(b"SWAPSPACE2");
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::Tool;

    #[test]
    fn the_area_is_what_mkswap_makes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        file.as_file().write_all_at(&header(1 << 20).unwrap(), 0).unwrap();
        let printed = Tool::new("blkid").args(["-p", "-o", "export"]).arg(file.path()).run().unwrap().stdout;
        assert!(printed.contains("TYPE=swap") && printed.contains("VERSION=1"), "{printed}");
        let made = tempfile::NamedTempFile::new().unwrap();
        made.as_file().set_len(1 << 20).unwrap();
        Tool::new("mkswap").arg(made.path()).run().unwrap();
        let theirs = fs::read(made.path()).unwrap();
        assert_eq!(theirs[1024..1032], header(1 << 20).unwrap()[1024..1032]);
    }
}
