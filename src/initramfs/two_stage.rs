//! An initramfs of two stages: a small one that mounts the root, and in the root an image with all that dracut has, of
//! which a boot reads only what it uses.

use crate::archive::counted::Stream;
use crate::error::{Result, failed};
use crate::init::plan::Step;
use crate::initramfs::dracut::{Extent, Recipe};
use crate::initramfs::make::{by_dracut, early_length, store, with_own_init};
use crate::initramfs::own_init::Own;
use crate::initramfs::unpack_cpio::unpack;
use crate::kernel::find::{Kernel, has_option};
use crate::kernel::modules::Modules;
use crate::layer::LayerPath;
use crate::layer::entry::Meta;
use crate::layer::sink::RootSink;
use crate::mount::scratch::Scratch;
use crate::root::edit::Edit;
use crate::root::erofs::{self, Identity};
use crate::root::memory::MemoryTree;
use crate::root::mounted::directory::Root;
use crate::root::mounted::sink::MountedRoot;
use crate::root::packed::{Compression, Format, Packing};
use crate::root::runnable::Runnable;
use crate::root::tree::Tree;
use crate::tool::{Tool, is_installed};
use crate::words::origin::Origin;
use anyhow::Context;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom};

/// UUID of every second stage: it is found by its path.
const UUID: [u8; 16] = *b"flipslot-stage-2";
/// Unit of a check that comes too late: the root is mounted, and was checked if it had errors. Other units need it, so
/// it must not be masked.
const CHECK: (&str, &str) =
    ("etc/systemd/system/systemd-fsck-root.service", include_str!("../../agent/stage2-fsck-root.service"));

/// The program that writes a compressed EROFS.
const MKFS: &str = "mkfs.erofs";
/// lz4 is decompressed faster than a disk delivers it, and every kernel with compression reads it (erofs.rst).
const COMPRESSION: &str = "-zlz4hc,9";

/// Filesystems of a second stage, best first, with the option of a kernel that has it built in.
pub const FILESYSTEMS: [(&str, &str); 2] = [("erofs", "CONFIG_EROFS_FS"), ("squashfs", "CONFIG_SQUASHFS")];
/// The others that it needs.
const NEEDED: [(&str, &str); 2] = [("loop", "CONFIG_BLK_DEV_LOOP"), ("overlay", "CONFIG_OVERLAY_FS")];

/// Returns the path of the second stage of a kernel.
pub fn path_of(kernel: &Kernel, filesystem: &str) -> String {
    format!("boot/initramfs-stage2-{}.{filesystem}", kernel.version)
}

/// Returns the length in bytes of an image by its first 2 KiB; `None` if it is not one of this filesystem.
pub fn length_of(filesystem: &str, head: &[u8]) -> Option<u64> {
    let number = |at: usize, length: usize| head.get(at..at + length);
    match filesystem {
        "erofs" => erofs::length_of(head),
        // squashfs_fs.h, struct squashfs_super_block: bytes_used at 40.
        _ if head.starts_with(b"hsqs") => Some(u64::from_le_bytes(number(40, 8)?.try_into().ok()?)),
        _ => None,
    }
}

/// Two stages in a root.
pub struct TwoStages {
    /// Path of the first.
    pub first: String,
    /// Filesystem of the second.
    pub filesystem: &'static str,
}

/// Makes both stages, and puts them into the root.
pub fn make<R: Edit + Runnable>(
    scratch: &Scratch,
    root: &mut R,
    kernel: &Kernel,
    modules: &Modules,
    recipe: &Recipe,
) -> Result<TwoStages> {
    let filesystem = filesystem_of(root, kernel, modules)?;
    let (chamber, raw) = by_dracut(scratch, root, kernel, recipe, Extent::All)?;
    let reading = "reading the initramfs that dracut made";
    (&raw).seek(SeekFrom::Start(early_length(&raw)?)).context(reading)?;
    let mut written = if filesystem == "erofs" && is_compressed(root, kernel)? {
        compressed(scratch, &raw)?
    } else {
        let mut tree = MemoryTree::complete(scratch.directory("stage2-files")?);
        fill(&raw, &mut tree)?;
        refuse_without_init(&tree)?;
        plain(scratch, &tree, filesystem)?
    };
    drop(raw);
    chamber.close()?;
    let image = path_of(kernel, filesystem);
    written.rewind().context("reading the second stage")?;
    store(root, &image, &mut written)?;
    let steps = vec![Step::MountRoot, Step::StartSecondStage { image, filesystem: filesystem.to_owned() }];
    let also = NEEDED.map(|needed| needed.0).into_iter().chain([filesystem]).collect();
    let first = with_own_init(scratch, root, kernel, &Own { modules, steps, also }, recipe)?;
    Ok(TwoStages { first, filesystem })
}

/// Unpacks what dracut made, and puts our unit over its own.
fn fill(raw: &File, tree: &mut dyn RootSink) -> Result<()> {
    unpack(&mut Stream::new(raw, u64::MAX), tree).context("reading the initramfs that dracut made")?;
    let meta = Meta { mode: 0o644, ..Meta::default() };
    tree.file(&LayerPath::clean(CHECK.0.as_bytes())?, &meta, &mut CHECK.1.as_bytes())
}

/// Refuses a second stage that has nothing to start.
fn refuse_without_init(tree: &dyn Tree) -> Result<()> {
    if tree.has_program("init") {
        return Ok(());
    }
    Err(failed("the initramfs that dracut made holds no /init", "see what its settings add: etc/dracut.conf.d"))
}

/// Returns true if an EROFS is compressed: mkfs.erofs is on this machine, and the kernel reads what it writes.
fn is_compressed(tree: &dyn Tree, kernel: &Kernel) -> Result<bool> {
    Ok(is_installed(MKFS) && has_option(tree, kernel, "CONFIG_EROFS_FS_ZIP")? == Some(true))
}

/// Writes a compressed EROFS. Its attributes are left out: an archive for the kernel has none.
fn compressed(scratch: &Scratch, raw: &File) -> Result<File> {
    let place = scratch.directory("stage2-root")?;
    let mut root = MountedRoot::new(Root::open(&place)?)?;
    fill(raw, &mut root)?;
    refuse_without_init(root.root())?;
    let image = scratch.path("stage2-image");
    let tool = Tool::new(MKFS).args(["--quiet", "-x-1", COMPRESSION]).arg(format!("-T{}", Origin::Fresh.now()));
    let uuid = UUID.map(|byte| format!("{byte:02x}")).concat();
    let uuid = [&uuid[..8], &uuid[8..12], &uuid[12..16], &uuid[16..20], &uuid[20..]].join("-");
    tool.arg(format!("-U{uuid}")).arg(&image).arg(&place).run()?;
    let written = File::open(&image).context("opening the second stage")?;
    fs::remove_file(&image).and_then(|()| fs::remove_dir_all(&place)).context("removing the second stage's files")?;
    Ok(written)
}

/// Writes an EROFS of our own, or a squashfs with gzip, which every kernel that has squashfs reads.
fn plain(scratch: &Scratch, tree: &MemoryTree, filesystem: &str) -> Result<File> {
    let packing = match filesystem {
        "erofs" => Packing::of(Format::Erofs, Some(Compression::None))?,
        _ => Packing::of(Format::Squashfs, Some(Compression::Gzip))?,
    };
    let image = scratch.path("stage2-image");
    let written = File::options().read(true).write(true).create_new(true).open(&image);
    let written = written.context("making the second stage")?;
    packing.pack(tree, Identity { uuid: UUID, made: Origin::Fresh.now() }, &written, &image)?;
    fs::remove_file(&image).context("removing the second stage's name")?;
    Ok(written)
}

/// Returns the filesystem of the second stage for a kernel. Fails if the kernel lacks something that it needs.
fn filesystem_of(tree: &dyn Tree, kernel: &Kernel, modules: &Modules) -> Result<&'static str> {
    let has = |(module, option): &(&'static str, &'static str)| -> Result<bool> {
        Ok(modules.place(module).is_some() || has_option(tree, kernel, option)? == Some(true))
    };
    let lacks = |what: &str| {
        let found = format!("kernel {} has no {what}, which a second stage needs", kernel.version);
        failed(found, "use another initramfs: --initramfs flipslot")
    };
    for needed in &NEEDED {
        if !has(needed)? {
            return Err(lacks(needed.0));
        }
    }
    for known in &FILESYSTEMS {
        if has(known)? {
            return Ok(known.0);
        }
    }
    Err(lacks("EROFS and no squashfs"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::LayerPath;

    #[test]
    fn an_image_says_how_long_it_is() {
        let mut tree = MemoryTree::complete(std::env::temp_dir());
        tree.begin_layer().unwrap();
        let meta = Meta { mode: 0o644, ..Meta::default() };
        tree.file(&LayerPath::clean(b"init").unwrap(), &meta, &mut &[7; 9000][..]).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        erofs::write(&tree, Identity { uuid: UUID, made: 0 }, file.as_file()).unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        assert_eq!(length_of("erofs", &bytes[..2048]), Some(bytes.len() as u64));
        assert_eq!(length_of("erofs", &bytes[4..2048]), None);
        assert_eq!(length_of("squashfs", &bytes[..2048]), None);
    }
}
