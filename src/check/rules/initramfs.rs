//! The initramfs: that it can be made, that it is whole, and that this kernel unpacks it on this machine.

use crate::boot::kernel;
use crate::boot::requirements;
use crate::check::Subject;
use crate::check::subject::Initramfs;
use crate::error::Result;
use crate::filesystem::features;
use crate::units::Bytes;

/// There is none, and nothing that makes one.
pub fn dracut_missing(subject: &Subject) -> Result<Vec<String>> {
    let can = !matches!(subject.initramfs, Initramfs::ToBeMade) || requirements::has_dracut(subject.tree);
    Ok(if can {
        Vec::new()
    } else {
        vec!["it has no dracut (/usr/bin/dracut), and no initramfs that could be used".to_owned()]
    })
}

/// It cannot be read to its end, or there is no init in it.
pub fn damaged(subject: &Subject) -> Result<Vec<String>> {
    let Initramfs::There { path, contents, .. } = &subject.initramfs else { return Ok(Vec::new()) };
    Ok(match contents {
        Err(why) => vec![format!("/{path}: {why}")],
        Ok(contents) if !contents.has("init") => vec![format!("/{path} holds no /init, which the kernel starts")],
        Ok(_) => Vec::new(),
    })
}

/// The kernel was built without what unpacks it.
pub fn compression(subject: &Subject) -> Result<Vec<String>> {
    let (Initramfs::There { path, contents: Ok(contents), .. }, Some(kernel)) = (&subject.initramfs, &subject.kernel)
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
                "/{path} is compressed by {compression}, and kernel {} was built without {option}",
                kernel.version
            )),
            // Without its config, its age tells: zstd came with Linux 5.9.
            None if option == "CONFIG_RD_ZSTD"
                && features::version(&kernel.version).is_some_and(|age| age < (5, 9)) =>
            {
                found.push(format!(
                    "/{path} is compressed by {compression}, which kernel {} does not know",
                    kernel.version
                ));
            }
            None => {}
        }
    }
    Ok(found)
}

/// It does not fit the machine's memory: what is unpacked stands there beside what was loaded, in a ramfs
/// (kernel: init/do_mounts.c, init_rootfs), and a quarter is left to everything else.
pub fn memory(subject: &Subject) -> Result<Vec<String>> {
    let (Initramfs::There { path, contents: Ok(contents), size }, Some(memory)) =
        (&subject.initramfs, subject.inventory.memory)
    else {
        return Ok(Vec::new());
    };
    let fits = contents.unpacked.saturating_add(*size) <= memory / 4 * 3;
    Ok(if fits {
        Vec::new()
    } else {
        let (unpacked, size, memory) = (Bytes(contents.unpacked), Bytes(*size), Bytes(memory));
        vec![format!("/{path} has {size}, and {unpacked} unpacked; the machine has {memory} of memory")]
    })
}
