//! The form of a slot's root that is requested: files, or one file that is only read.

use crate::boot::initramfs_source::Source;
use crate::boot::record::Record;
use crate::boot::root_on::{Keeps, LiveFormat};
use crate::cli::{RootFormat, WriteArgs};
use crate::error::{Result, usage};
use crate::request::config::Config;
use crate::root::packed::Format;

/// A root that is one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootFileRequest {
    /// Filesystem in it.
    pub format: Format,
    /// Place of what is written over it.
    pub keeps: Keeps,
}

/// Joins the flags with the config file, and with what the slot after which this one is modelled has.
pub fn of(args: &WriteArgs, config: &Config, model: Option<&Record>) -> Result<Option<RootFileRequest>> {
    let model = model.and_then(|record| record.root.as_ref());
    let of_model = model.and_then(|root| match root.format {
        LiveFormat::Squashfs => Some(RootFormat::Squashfs),
        LiveFormat::Erofs => Some(RootFormat::Erofs),
        LiveFormat::OciArchive | LiveFormat::Unpacked => None,
    });
    // A file of flags may say where a root of one file keeps what is written, while this run asks for files.
    let of_config = config.overlay.filter(|_| args.root != Some(RootFormat::Files));
    let asked = args.overlay.or(of_config);
    let format = match args.root.or(config.root).or(of_model) {
        Some(RootFormat::Squashfs) => Format::Squashfs,
        Some(RootFormat::Erofs) => Format::Erofs,
        Some(RootFormat::Files) | None if asked.is_some() => {
            return Err(usage("--overlay is for a root that is one file", "add --root squashfs, or omit --overlay"));
        }
        Some(RootFormat::Files) | None => return Ok(None),
    };
    let keeps = asked.or(model.map(|root| root.overlay)).unwrap_or_default();
    Ok(Some(RootFileRequest { format, keeps }))
}

/// Returns the source of the initramfs: a root that is one file is mounted by flipslot's own alone.
pub fn initramfs(root: Option<RootFileRequest>, source: Source) -> Result<Source> {
    match (root, source) {
        (None, source) => Ok(source),
        (Some(_), Source::Auto | Source::Flipslot) => Ok(Source::Flipslot),
        (Some(_), Source::Image | Source::Dracut | Source::TwoStage) => Err(usage(
            "a root that is one file is mounted by flipslot's own initramfs alone",
            "omit --initramfs, or write --initramfs flipslot",
        )),
    }
}
