//! The delivery of a root to the machines: as one file of the folder, or by the registry itself.

use crate::boot::root_on::{LiveFormat, LiveSource, Login};
use crate::disk::new::file::{Existing, NewFile};
use crate::error::{Result, refused, usage};
use crate::forms::image::identity_of;
use crate::forms::netboot::keys::Keys;
use crate::oci::archive::Archive;
use crate::oci::layout::pick;
use crate::oci::names::is_loopback;
use crate::oci::reference::Pin;
use crate::oci::{Image, Reference};
use crate::publish::written_file::WrittenFile;
use crate::root::packed::{Compression, Format, Packing};
use crate::root::walk::{NodeKind, Walk};
use anyhow::Context;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The way in which roots reach the machines.
#[derive(Debug)]
pub enum Delivery {
    /// A filesystem in a file.
    Packed(Packing),
    /// The archive that was named, as it is.
    Archive,
    /// The registry that was named; nothing is in the folder.
    Registry {
        /// Hosts that are reached without TLS.
        plain_http: Vec<String>,
        /// Keys, one of which must have signed what the tag names then; `None` boots the image that it names now.
        follows: Option<Keys>,
        /// Login of a machine.
        login: Option<Login>,
    },
}

/// A root as one file, which has no name yet.
pub struct RootFile {
    /// The file.
    pub new: NewFile,
    /// Facts of it.
    pub written: WrittenFile,
}

impl Delivery {
    /// Chooses the way for a format.
    pub fn of(format: LiveFormat, plain_http: &[String]) -> Result<Delivery> {
        Ok(match format {
            LiveFormat::Squashfs => Delivery::Packed(Packing::of(Format::Squashfs, None)?),
            LiveFormat::Erofs => Delivery::Packed(Packing::of(Format::Erofs, None)?),
            LiveFormat::OciArchive => Delivery::Archive,
            LiveFormat::Unpacked => Delivery::Registry { plain_http: plain_http.to_vec(), follows: None, login: None },
        })
    }

    /// Lets machines boot what the tag names when they start, if one of the keys in these files has signed it.
    pub fn following(self, keys: &[PathBuf]) -> Result<Delivery> {
        match self {
            Delivery::Registry { plain_http, login, .. } if !keys.is_empty() => {
                Ok(Delivery::Registry { plain_http, follows: Some(Keys::of(keys)?), login })
            }
            Delivery::Registry { .. } => Err(usage(
                "--follow-tag without a key would let anyone who reaches the registry choose what machines boot",
                "sign images, and name the public key: --verify-key cosign.pub",
            )),
            _ => Err(usage(
                "--follow-tag lets machines ask a registry, which --format unpacked alone does",
                "add --format unpacked, or omit --follow-tag",
            )),
        }
    }

    /// Lets machines log in at the registry.
    pub fn with_login(self, login: Option<Login>) -> Delivery {
        match self {
            Delivery::Registry { plain_http, follows, .. } => Delivery::Registry { plain_http, follows, login },
            other => other,
        }
    }

    /// Returns the keys that the initramfs holds.
    pub fn keys(&self) -> Option<&Keys> {
        let Delivery::Registry { follows, .. } = self else { return None };
        follows.as_ref()
    }

    /// Refuses an image that no tag names, or that does not say when it was made, where machines follow the tag.
    pub fn refuse_unfollowable(&self, image: &Image) -> Result<()> {
        if self.keys().is_none() {
            return Ok(());
        }
        let is_tag = matches!(&image.reference, Reference::Registry { pin: Pin::Tag(_), .. });
        let what = match (is_tag, image.created) {
            (false, _) => "names no tag, and --follow-tag follows one",
            (true, None) => "does not say when it was made, so that an older one could not be told from it",
            (true, Some(_)) => return Ok(()),
        };
        Err(refused(
            format!("{} {what}", image.reference),
            "name a tag of an image with a time (created), or omit --follow-tag",
        ))
    }

    /// Returns the format, and the compression that all of it has.
    pub fn format(&self) -> (LiveFormat, Option<Compression>) {
        match self {
            Delivery::Packed(Packing { format, compression, .. }) => ((*format).into(), Some(*compression)),
            Delivery::Archive => (LiveFormat::OciArchive, None),
            Delivery::Registry { .. } => (LiveFormat::Unpacked, None),
        }
    }

    /// Returns how the layers of hosts are packed: as the roots are, or as a squashfs over files in memory.
    pub fn packing_of_layers(&self) -> Result<Packing> {
        match self {
            Delivery::Packed(Packing { format, .. }) => Packing::of(*format, None),
            Delivery::Archive | Delivery::Registry { .. } => Packing::of(Format::Squashfs, None),
        }
    }

    /// Refuses an image that is not where this delivery takes it from.
    pub fn refuse_elsewhere(&self, reference: &Reference) -> Result<()> {
        match (self, reference) {
            (Delivery::Archive, Reference::Archive { .. }) | (Delivery::Packed(_), _) => Ok(()),
            (Delivery::Archive, _) => Err(usage(
                format!("--format oci-archive hands out an archive as it is, and {reference} is none"),
                format!("make one: skopeo copy {reference} oci-archive:FILE; then name that: oci-archive:FILE"),
            )),
            (Delivery::Registry { .. }, Reference::Registry { host, .. }) if is_loopback(host) => Err(usage(
                format!("machines would ask themselves for the image: {host} is this machine"),
                "name the registry as they reach it, by its address or name in their network",
            )),
            (Delivery::Registry { plain_http, login: Some(_), .. }, Reference::Registry { host, .. })
                if plain_http.contains(host) =>
            {
                Err(usage(
                    format!(
                        "--auth-on would send the login of machines to {host} without TLS, as anyone could read it"
                    ),
                    format!("give {host} a certificate, or omit --auth-on"),
                ))
            }
            (Delivery::Registry { .. }, Reference::Registry { .. }) => Ok(()),
            (Delivery::Registry { .. }, _) => Err(usage(
                format!("--format unpacked lets machines fetch layers from a registry, and {reference} is in none"),
                "push the image, and name it there: docker://HOST/NAME:TAG; or use another --format",
            )),
        }
    }

    /// Writes the root as one file into the folder; `None` if the registry has it.
    pub fn write(&self, image: &Image, tree: &dyn Walk, folder: &Path) -> Result<Option<RootFile>> {
        let name = match self {
            Delivery::Registry { .. } => return Ok(None),
            Delivery::Packed(Packing { format: Format::Squashfs, .. }) => "root.squashfs",
            Delivery::Packed(Packing { format: Format::Erofs, .. }) => "root.erofs",
            Delivery::Archive => "root.oci.tar",
        };
        let new = NewFile::make(&folder.join(name), Existing::Refuse, "packed")?;
        match (self, &image.reference) {
            (Delivery::Packed(packing), _) => {
                packing.pack(tree, identity_of(image), new.file(), &new.open_path())?;
            }
            (_, Reference::Archive { file, .. }) => {
                // Machines unpack the only image of an archive.
                let (_, index) = Archive::open(file)?;
                pick(&index, None)?;
                let copying = || format!("copying {}", file.display());
                let mut archive = File::open(file).with_context(copying)?;
                io::copy(&mut archive, &mut new.file()).with_context(copying)?;
            }
            _ => self.refuse_elsewhere(&image.reference)?,
        }
        let written = WrittenFile::of(name, new.file())?;
        Ok(Some(RootFile { new, written }))
    }

    /// Returns the origin of the root for the initramfs, which is made now; `address` is that of the image's folder, if the
    /// initramfs does not hold the file.
    pub fn source(&self, image: &Image, file: Option<&RootFile>, address: Option<&str>, made: u64) -> LiveSource {
        match (&image.reference, file, address) {
            (Reference::Registry { host, repository, pin }, None, _) => {
                let Delivery::Registry { plain_http, follows, login } = self else {
                    return LiveSource::BesideInitramfs;
                };
                let (plain_http, login) = (plain_http.contains(host), login.clone());
                let (host, repository, digest) = (host.clone(), repository.clone(), image.digest.clone());
                let follows = match (pin, follows) {
                    (Pin::Tag(tag), Some(keys)) => Some((tag.clone(), keys.names())),
                    _ => None,
                };
                LiveSource::Registry { host, repository, digest, follows, plain_http, login, made }
            }
            (_, Some(RootFile { written, .. }), Some(address)) => {
                LiveSource::Url { url: format!("{address}/{}", written.name()), digest: written.digest().clone(), made }
            }
            _ => LiveSource::BesideInitramfs,
        }
    }

    /// Returns the memory that the root takes in a machine, in bytes: that of its file, or of what is unpacked.
    pub fn memory(&self, tree: &dyn Walk, file: Option<&RootFile>) -> Result<u64> {
        match (self, file) {
            (Delivery::Packed(_), Some(file)) => Ok(file.written.size()),
            _ => unpacked_bytes(tree),
        }
    }
}

/// Returns the memory of all files in a tmpfs, in bytes: whole pages, and about a kilobyte each for what describes them.
pub fn unpacked_bytes(tree: &dyn Walk) -> Result<u64> {
    let (mut bytes, mut seen) = (0u64, BTreeSet::new());
    tree.walk(&mut |node| {
        if node.links == 1 || seen.insert(node.inode) {
            let size = if let NodeKind::File { size } = node.kind { size } else { 0 };
            bytes = bytes.saturating_add(size.next_multiple_of(4096)).saturating_add(1024);
        }
        Ok(())
    })?;
    Ok(bytes)
}
