//! A slot that forgets: its root is one file that is only read. Beside it are kernel and initramfs, as in any slot, and a
//! folder with what flipslot added to the image, which the initramfs lays over the root.

use crate::boot::record::RootFile;
use crate::boot::root_on::{Keeps, LiveSource, RootOn};
use crate::build::bootable::Built;
use crate::error::{Result, refused};
use crate::forms::image::identity_of;
use crate::forms::slot::formatted::{Mounted, SlotSite};
use crate::init::overlay::{LAYER_OF_SLOT, ROOT_OF_SLOT, TREE_OF_ROOT};
use crate::kernel::modules::Modules;
use crate::oci::Image;
use crate::publish::written_file::WrittenFile;
use crate::request::root::RootFileRequest;
use crate::root::changes::{Change, Snapshot};
use crate::root::describe::describe;
use crate::root::mounted::directory::Root;
use crate::root::packed::Packing;
use crate::root::tree::Tree;
use crate::root::verity;
use crate::root::walk::NodeKind;
use crate::words::digest::Digest;
use anyhow::Context;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufWriter, Seek};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Folder in the slot into which layers are unpacked; it is gone when the slot is done.
pub const TREE: &str = "flipslot/tree";
/// Folder with the drivers of watchdogs.
const WATCHDOGS: &str = "drivers/watchdog/";

/// A root that was written as one file, while its files are still there.
pub struct Packed {
    /// The slot's own root.
    top: PathBuf,
    written: WrittenFile,
    verity: Option<Digest>,
    before: Snapshot,
    request: RootFileRequest,
}

/// A change of the root since it was written as one file.
enum Step {
    Directory(Vec<u8>),
    Moved(Vec<u8>),
    Removed(Vec<u8>),
}

/// Refuses a root whose changes the disk has no place for.
pub fn refuse_without_data(request: Option<RootFileRequest>, has_data: bool) -> Result<()> {
    if has_data || request.is_none_or(|request| request.keeps == Keeps::Ram) {
        return Ok(());
    }
    Err(refused(
        "--overlay data needs a data partition, and the disk has none with ext4, XFS or btrfs",
        "create the disk with --data --overlay data, or make the filesystem (mkfs.ext4), or choose --overlay ram",
    ))
}

/// Refuses a root that no program of this machine writes.
pub fn refuse_unwritable(request: RootFileRequest) -> Result<()> {
    Packing::of(request.format, None).map(drop).map_err(|_| {
        refused(
            "no program of this machine writes a squashfs as the root of a slot",
            "install squashfs-tools-ng (tar2sqfs), or squashfs-tools 4.6 or later; or choose --root erofs, which flipslot writes itself",
        )
    })
}

/// Writes the files of the slot as one file.
pub fn pack(mounted: &Mounted, files: &Root, image: &Image, request: RootFileRequest) -> Result<Packed> {
    let top = mounted.place().to_owned();
    let path = top.join(ROOT_OF_SLOT.trim_start_matches('/'));
    let writing = || format!("writing {ROOT_OF_SLOT} of the slot");
    let mut options = File::options();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = options.open(&path).with_context(writing)?;
    Packing::of(request.format, None)?.pack(files, identity_of(image), &file, &path).with_context(writing)?;
    let written = WrittenFile::of(ROOT_OF_SLOT, &file)?;
    let verity = put_tree(&path, &file, &written)?;
    Ok(Packed { top, written, verity, before: Snapshot::of(files)?, request })
}

/// Writes the tree of hashes beside the root, by which the kernel compares its blocks.
fn put_tree(path: &Path, file: &File, written: &WrittenFile) -> Result<Option<Digest>> {
    let tree = path.with_extension(TREE_OF_ROOT.trim_start_matches('.'));
    let writing = || format!("writing {ROOT_OF_SLOT}{TREE_OF_ROOT} of the slot");
    let out = File::options().write(true).create_new(true).mode(0o600).open(&tree).with_context(writing)?;
    let mut data = file.try_clone().with_context(writing)?;
    data.rewind().with_context(writing)?;
    // Twice the same bytes for the same root.
    let uuid = Uuid::try_parse(&written.digest().hex()[..32]).with_context(writing)?;
    let hash = verity::write(&data, uuid.into_bytes(), BufWriter::new(out)).with_context(writing)?;
    if hash.is_none() {
        fs::remove_file(&tree).with_context(writing)?;
    }
    Ok(hash)
}

impl Packed {
    /// Returns the place of the root for rules, initramfs and command line.
    pub fn on(&self, site: &SlotSite, mounted: &Mounted) -> Result<RootOn> {
        let data = match self.request.keeps {
            Keeps::Ram => None,
            Keeps::Data => Some(site.data.context("the disk has no data partition")?),
        };
        let (partuuid, filesystem) = (site.location.partuuid, mounted.filesystem);
        let (digest, verity) = (self.written.digest().clone(), self.verity.clone());
        let from = LiveSource::File { partuuid, filesystem, path: ROOT_OF_SLOT, digest, verity, data };
        Ok(RootOn::Live { format: self.request.format.into(), from })
    }

    /// Leaves kernel, initramfs and the changes since [`pack`], and removes the other files. Returns the slot's own root, and
    /// what its record says.
    pub fn finish(self, files: Root, built: &mut Built) -> Result<(Root, RootFile)> {
        let modules = Modules::read(&files, &built.entry.kernel)?.unwrap_or_default();
        let watchdogs = modules.below(&[WATCHDOGS]).cloned().collect();
        let entry = &mut built.entry;
        let kernel = format!("boot/vmlinuz-{}", entry.kernel.version);
        let initramfs = format!("boot/initramfs-{}.img", entry.kernel.version);
        self.copy(&files, &entry.kernel.path, &kernel)?;
        self.copy(&files, &entry.initramfs, &initramfs)?;
        let tree = self.top.join(TREE);
        let layer = self.top.join(LAYER_OF_SLOT.trim_start_matches('/'));
        let Packed { top, written, verity, before, request } = self;
        let steps = steps(before, &files, &entry.initramfs)?;
        drop(files);
        let described = fs::symlink_metadata(&tree).context("reading the root's own folder")?;
        let made = DirBuilder::new().mode(0o700).create(&layer).map_err(Into::into);
        made.and_then(|()| describe(&layer, &tree, &described)).context("making the folder of flipslot's layer")?;
        steps.iter().try_for_each(|step| make(step, &tree, &layer))?;
        fs::remove_dir_all(&tree).context("removing the files that are in the root as one file")?;
        (entry.kernel.path, entry.initramfs) = (kernel, initramfs);
        let (digest, size) = (written.digest().clone(), written.size());
        Ok((
            Root::open(&top)?,
            RootFile { format: request.format.into(), digest, size, verity, overlay: request.keeps, watchdogs },
        ))
    }

    fn copy(&self, files: &Root, from: &str, to: &str) -> Result<()> {
        let copying = || format!("copying /{from} to /{to} of the slot");
        let mut bytes = files.open(from)?.with_context(copying)?;
        let path = self.top.join(to);
        fs::create_dir_all(path.parent().unwrap_or(&self.top)).with_context(copying)?;
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(path).with_context(copying)?;
        io::copy(&mut bytes, &mut file).map(drop).with_context(copying)
    }
}

/// Lists the changes of a root, but for its initramfs.
fn steps(before: Snapshot, files: &Root, initramfs: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    before.changes(files, &mut |change| {
        match change {
            Change::Put(node) if node.path.is_empty() || node.path == initramfs.as_bytes() => {}
            Change::Put(node) if node.kind == NodeKind::Directory => steps.push(Step::Directory(node.path.to_vec())),
            Change::Put(node) => steps.push(Step::Moved(node.path.to_vec())),
            Change::Removed(path) => steps.push(Step::Removed(path.to_vec())),
        }
        Ok(())
    })?;
    Ok(steps)
}

/// Makes a change in the layer.
fn make(step: &Step, tree: &Path, layer: &Path) -> Result<()> {
    let (Step::Directory(path) | Step::Moved(path) | Step::Removed(path)) = step;
    let within = Path::new(OsStr::from_bytes(path));
    let (from, to) = (tree.join(within), layer.join(within));
    let making = || format!("adding /{} to flipslot's layer", within.display());
    match step {
        Step::Directory(_) => {
            fs::create_dir(&to).with_context(making)?;
            describe(&to, &from, &fs::symlink_metadata(&from).with_context(making)?).with_context(making)
        }
        Step::Moved(_) => fs::rename(&from, &to).with_context(making),
        // A whiteout (kernel: filesystems/overlayfs.rst).
        Step::Removed(_) => {
            mknodat(CWD, &to, FileType::CharacterDevice, Mode::empty(), makedev(0, 0)).with_context(making)
        }
    }
}
