//! The form of a folder of static files from which machines boot by PXE: an image in one file, its kernel, and an
//! initramfs that fetches it into RAM, or holds it.

pub mod boot;
pub mod delivery;
pub mod host_layer;
pub mod hosts;
pub mod images;
pub mod keys;
mod layer;
pub mod loaders;

use crate::archive::write_cpio::Archive;
use crate::boot::cmdline::Cmdline;
use crate::boot::entry::Entry;
use crate::boot::initramfs_source::Source;
use crate::boot::root_on::{LiveSource, RootOn};
use crate::build::bootable::Bootable;
use crate::build::filled::{Filled, Site};
use crate::build::inspected::Inspection;
use crate::build::session::Session;
use crate::check::subject::OLDEST_GRUB;
use crate::error::{Result, failed};
use crate::forms::netboot::delivery::{Delivery, RootFile};
use crate::forms::netboot::layer::Losses;
use crate::initramfs::compress::{Effort, Method};
use crate::kernel::modules::Modules;
use crate::oci::Image;
use crate::publish::described::{About, Described, INITRD, KERNEL};
use crate::publish::written_file::WrittenFile;
use crate::request::slot::SlotRequest;
use crate::root::changes::Snapshot;
use crate::root::memory::MemoryTree;
use crate::root::tree::Tree;
use crate::words::digest::Digest;
use anyhow::Context;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// Path of the image in the initramfs: `root=flipslot:/image`.
const IMAGE: &str = "image";

/// An image for the folder.
pub struct NetbootJob<'j> {
    /// The image.
    pub image: &'j Image,
    /// Request for how it boots.
    pub request: &'j SlotRequest,
    /// Way of its root to the machines.
    pub delivery: &'j Delivery,
    /// Time of this run, in seconds since 1970.
    pub made: u64,
    /// Address of its folder, from which the initramfs fetches the root; `None` puts the root into the initramfs.
    pub address: Option<String>,
    /// Effort at the initramfs.
    pub effort: Effort,
}

/// An image that was written into a folder.
pub struct Written {
    /// Description of it.
    pub described: Described,
    /// Modules of its kernel; `None` if there is no list of them.
    pub modules: Option<Modules>,
    /// Set if the agent was added.
    pub has_agent: bool,
}

/// Writes an image with its kernel and initramfs into an empty folder.
pub fn write(job: &NetbootJob, folder: &Path, session: Session) -> Result<Written> {
    let NetbootJob { image, request, delivery, .. } = job;
    let step = session.progress.step(None, "reading layers", Some(image.stored_bytes()));
    let mut tree = MemoryTree::complete(folder.to_owned());
    let verified = image.apply_to(&mut tree, MemoryTree::budget(), step.counter())?;
    drop(step);
    // Before the rules see it: the file holds the image alone.
    let step = session.progress.step(None, "writing the root", None);
    let root = delivery.write(image, &tree, folder)?;
    let memory = delivery.memory(&tree, root.as_ref())?;
    let before = Snapshot::of(&tree)?;
    drop(step);
    let format = delivery.format();
    let from = source(job, root.as_ref());
    let embedded = root.as_ref().filter(|_| from == LiveSource::BesideInitramfs);
    let on = RootOn::Live { format: format.0, from };
    let is_livenet = on.is_livenet();
    let site = Site { slot: None, on, features: None, grub: OLDEST_GRUB, names: None, in_memory: Some(memory) };
    let Inspection::Passed(mut inspected) = Filled::new(tree, site, verified).inspect(request, session)? else {
        return Err(failed("the rules want another filesystem, and an image in a file has none", "see flipslot check"));
    };
    inspected.add_agent(request.agent, session)?;
    let Bootable { root: tree, built } = inspected.make_bootable(request, session)?;
    let Entry { kernel, initramfs, cmdline, title, .. } = built.entry;
    let (modules, has_agent) = (Modules::read(&tree, &kernel)?, !built.agent.is_empty());
    let _step = session.progress.step(None, "writing kernel and initramfs", None);
    let kernel_file = written(folder, KERNEL, |out| drop_count(io::copy(&mut opened(&tree, &kernel.path)?, out)))?;
    let initrd = written(folder, INITRD, |out| {
        io::copy(&mut opened(&tree, &initramfs)?, out)?;
        if is_livenet {
            return Ok(()); // it lays nothing over the root
        }
        align(out)?;
        let mut losses = Losses::default();
        let added = |pipe| layer::write(before, &tree, &initramfs, pipe).map(|told| losses = told);
        Method::of(&tree, &kernel)?.compressed(job.effort, &mut *out, added)?;
        warn_of(&losses, session);
        align(out)?;
        if let Some(keys) = delivery.keys() {
            keys.write(image.created.unwrap_or_default(), &mut *out)?;
            align(out)?;
        }
        embedded.map_or(Ok(()), |root| append(root.new.file(), out))
    })?;
    let words = words(&cmdline, root.as_ref().map(|root| root.written.digest()));
    let mut files = vec![kernel_file, initrd];
    let is_embedded = embedded.is_some();
    let mut written = None;
    if let Some(root) = root {
        if !is_embedded {
            root.new.flush()?;
            root.new.publish()?;
            files.push(root.written.clone());
        }
        written = Some(root.written);
    }
    let about = About { title, kernel: kernel.version, words, format, root: written, memory, files };
    Ok(Written { described: Described::new(image, about), modules, has_agent })
}

/// Returns the origin of the root for the initramfs that was asked for.
fn source(job: &NetbootJob, root: Option<&RootFile>) -> LiveSource {
    match (job.delivery.source(job.image, root, job.address.as_deref(), job.made), job.request.initramfs) {
        (LiveSource::Url { url, .. }, Source::Dracut) => LiveSource::Livenet { url },
        (from, _) => from,
    }
}

fn warn_of(losses: &Losses, session: Session) {
    if let Some(path) = &losses.removed {
        let text =
            format!("{path} and what else was removed is hidden in the booted system, and still in the root's file");
        session.progress.warn(None, &text);
    }
    if let Some(path) = &losses.attributes {
        let text = format!("{path} has extended attributes, which it does not have in the booted system");
        session.progress.warn(None, &text);
    }
}

/// Fills up to a multiple of 4, at which the kernel looks for the next archive
/// (driver-api/early-userspace/buffer-format.rst).
fn align(out: &mut File) -> Result<()> {
    let length = out.stream_position()?;
    Ok(out.write_all(&[0; 4][..usize::try_from(length.wrapping_neg() % 4)?])?)
}

/// Appends an archive with the image to an initramfs.
fn append(image: &File, out: &mut File) -> Result<()> {
    let mut packed = image.try_clone()?;
    packed.rewind()?;
    let mut archive = Archive::to(out);
    archive.add_from(IMAGE, 0o100_444, image.metadata()?.len(), &mut packed)?;
    archive.finish().map(drop)
}

/// Returns the kernel's words: with the digest of an image in the initramfs, and an end to a panic.
fn words(cmdline: &Cmdline, digest: Option<&Digest>) -> String {
    let pinned = |word: &str| match (word, digest) {
        ("root=flipslot:/image", Some(digest)) => format!("{word}@{digest}"),
        (other, _) => other.to_owned(),
    };
    let mut words = cmdline.renewed(pinned).to_string();
    if !words.split(' ').any(|word| word.starts_with("panic=")) {
        // Nobody is there to switch it off and on.
        words += " panic=30";
    }
    words
}

fn opened<'t>(tree: &'t dyn Tree, path: &str) -> Result<Box<dyn Read + 't>> {
    tree.open(path)?.with_context(|| format!("/{path} is missing"))
}

fn drop_count(copied: io::Result<u64>) -> Result<()> {
    Ok(copied.map(drop)?)
}

/// Writes a file of the folder, and returns what it is.
fn written(folder: &Path, name: &str, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<WrittenFile> {
    let path = folder.join(name);
    let writing = || format!("writing {}", path.display());
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).with_context(writing)?;
    fill(&mut file).with_context(writing)?;
    file.sync_all().with_context(writing)?;
    WrittenFile::of(name, &file)
}
