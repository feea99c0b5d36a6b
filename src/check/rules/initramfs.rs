//! Rules about the initramfs: it must be there or be made, be complete, and be unpacked by this kernel on
//! this machine.

use crate::boot::initramfs_source::MadeBy;
use crate::check::own_init;
use crate::check::subject::{Initramfs, Subject};
use crate::error::Result;
use crate::filesystem::feature_table::version;
use crate::initramfs::two_stage::{self, FILESYSTEMS};
use crate::kernel::{find as kernel, requirements};
use crate::root::tree::{Last, What};
use crate::words::units::Bytes;

/// Finds a slot that has no initramfs and no dracut to make one, and needs more than flipslot's own.
pub fn dracut_missing(subject: &Subject) -> Result<Vec<String>> {
    if !matches!(subject.initramfs, Initramfs::ToBeMade) || requirements::has_dracut(subject.tree) {
        return Ok(Vec::new());
    }
    let needed = match own_init::beyond(subject)? {
        Some(needed) => Some(needed),
        None => own_init::dracut_settings(subject)?,
    };
    let say = |needed| {
        format!(
            "it has no dracut (/usr/bin/dracut), and no usable initramfs, and flipslot's own is not enough: {needed}"
        )
    };
    Ok(needed.map(say).into_iter().collect())
}

/// Finds an initramfs that cannot be read to its end, that has no `/init`, or whose second stage is gone or cut short.
pub fn damaged(subject: &Subject) -> Result<Vec<String>> {
    let Initramfs::There { path, contents, by, .. } = subject.initramfs else { return Ok(Vec::new()) };
    Ok(match contents {
        Err(why) => vec![format!("/{path}: {why}")],
        Ok(contents) if !contents.has("init") => vec![format!("/{path} holds no /init, which the kernel starts")],
        Ok(_) if *by == MadeBy::TwoStage => second_stage_fault(subject)?.into_iter().collect(),
        Ok(_) => Vec::new(),
    })
}

/// Returns what is wrong with the second stage of the subject's kernel.
fn second_stage_fault(subject: &Subject) -> Result<Option<String>> {
    let Some(kernel) = &subject.kernel else { return Ok(None) };
    for filesystem in FILESYSTEMS.map(|known| known.0) {
        let path = two_stage::path_of(kernel, filesystem);
        let Some(What::File { size }) = subject.tree.look(&path, Last::Follow)?.map(|found| found.what) else {
            continue;
        };
        let head = subject.tree.head(&path, 2048)?.unwrap_or_default();
        let is_whole = two_stage::length_of(filesystem, &head).is_some_and(|length| length <= size);
        return Ok((!is_whole).then(|| format!("its second stage /{path} is cut short, or not a {filesystem}")));
    }
    let path = two_stage::path_of(kernel, FILESYSTEMS[0].0);
    Ok(Some(format!("its second stage is missing, such as /{path}")))
}

/// Finds an initramfs in a compression that the kernel was built without.
pub fn compression(subject: &Subject) -> Result<Vec<String>> {
    let (Initramfs::There { path, contents: Ok(contents), .. }, Some(kernel)) = (subject.initramfs, &subject.kernel)
    else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for part in &contents.parts {
        let Some(option) = part.compression.config_option() else { continue };
        let compression = part.compression;
        match kernel::has_option(subject.tree, kernel, option)? {
            Some(true) => {}
            Some(false) => found.push(format!(
                "/{path} is compressed with {compression}, and kernel {} was built without {option}",
                kernel.version
            )),
            // Without the kernel's config, its version decides: zstd came with Linux 5.9.
            None if option == "CONFIG_RD_ZSTD" && version(&kernel.version).is_some_and(|age| age < (5, 9)) => {
                found.push(format!(
                    "/{path} is compressed with {compression}, which kernel {} does not know",
                    kernel.version
                ));
            }
            None => {}
        }
    }
    Ok(found)
}

/// Finds an initramfs that does not fit into the machine's memory: its unpacked files are there beside the
/// file that was loaded, in a ramfs (kernel: init/do_mounts.c, init_rootfs), and a quarter is left for
/// everything else.
pub fn memory(subject: &Subject) -> Result<Vec<String>> {
    let (Initramfs::There { path, contents: Ok(contents), size, .. }, Some(memory)) =
        (subject.initramfs, subject.inventory.memory)
    else {
        return Ok(Vec::new());
    };
    let fits = contents.unpacked.saturating_add(*size) <= memory / 4 * 3;
    Ok(if fits {
        Vec::new()
    } else {
        let (unpacked, size, memory) = (Bytes(contents.unpacked), Bytes(*size), Bytes(memory));
        vec![format!("/{path} takes {size}, and {unpacked} unpacked; the machine has {memory} of memory")]
    })
}
