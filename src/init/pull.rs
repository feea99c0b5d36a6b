//! An image of a registry, or in an archive: its layers are unpacked into memory, which becomes the root.

use crate::error::{Result, failed};
pub use crate::init::chain::{start_another, warn_of_another};
use crate::init::coming::{Coming, Reach};
use crate::init::devices::Events;
use crate::init::kernel_log::{Level, log};
use crate::init::load::Loader;
pub use crate::init::remote::fetch;
use crate::init::remote::{fetch_more, over_network};
use crate::init::root::mount_device;
use crate::init::signed::{files_of, refuse_older};
use crate::init::source::{Fetched, Place, RemoteFile, no_digest};
use crate::init::unpacked::{Room, unpack};
pub use crate::init::unpacked::{complete, used};
use crate::init::words::Words;
use crate::network::wanted::Wanted;
use crate::oci::archive::Archive;
use crate::oci::credentials::{self, Credential};
use crate::oci::document::{self, DOCUMENT_MAX, Descriptor, Document, INDEX_TYPES, MANIFEST_TYPES};
use crate::oci::image;
use crate::oci::layout::{pick, read_limited};
use crate::oci::reference::{Pin, Reference};
use crate::oci::registry::part::{Part, Repository};
use crate::oci::signature::Attached;
use crate::oci::source::{Source, verified};
use crate::words::digest::Digest;
use crate::words::kernel_line::AUTH_KEY;
use crate::words::units::Bytes;
use anyhow::Context;
use rustix::mount::{UnmountFlags, unmount};
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Place at which the disk is mounted that has the login at a registry.
const OF_LOGIN: &str = "/run/flipslot/login";

/// Time for that disk to turn up: a controller with many disks takes two minutes.
const TO_COME: Duration = Duration::from_secs(180);

/// A repository, each part of which is read by a process of its own. What they send is verified here.
struct Parts {
    repository: Repository,
    reach: Reach,
}

impl Parts {
    fn coming(&self, part: Part) -> Result<Coming> {
        Coming::begin(&Wanted::Part(self.repository.clone(), part), &self.reach)
    }
}

impl Source for Parts {
    fn document(&self, which: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        let is_manifest = INDEX_TYPES.iter().chain(&MANIFEST_TYPES).any(|known| *known == which.media_type);
        let digest = which.digest.clone();
        let part = if is_manifest { Part::Manifest(digest) } else { Part::Blob { digest, size: which.size } };
        read_limited(self.coming(part)?, limit)
    }

    fn attached(&self, of: &Digest) -> Result<Vec<Attached>> {
        let bytes = read_limited(self.coming(Part::Attached(of.clone()))?, DOCUMENT_MAX)?;
        serde_json::from_slice(&bytes).context("reading the signatures of the image")
    }

    fn blob(&self, which: &Descriptor) -> Result<Box<dyn Read>> {
        Ok(Box::new(self.coming(Part::Blob { digest: which.digest.clone(), size: which.size })?))
    }
}

/// An image that was pulled.
pub struct Pulled {
    /// Paths of the files that were fetched after it.
    pub files: Vec<String>,
    /// Digest of its manifest or index, in hexadecimal.
    pub digest: String,
}

/// Unpacks the image that a reference with a digest names, or a tag that one of the keys has signed, and fetches more files.
pub fn pull(
    reference: &str,
    more: &[RemoteFile],
    known: (&Words, &Events),
    loader: &mut Loader,
) -> Result<Fetched<Pulled>> {
    let reference: Reference = reference.parse()?;
    let Reference::Registry { host, repository: name, pin } = &reference else {
        return Err(no_digest(&reference.to_string()));
    };
    let keys = files_of(&known.0.keys);
    let top = match pin {
        Pin::Digest(digest) => Part::Manifest(digest.clone()),
        Pin::Tag(tag) if !keys.is_empty() => Part::Tag(tag.clone()),
        Pin::Tag(_) => return Err(no_digest(&reference.to_string())),
    };
    let repository = Repository {
        host: host.clone(),
        name: name.clone(),
        plain_http: known.0.plain_http.iter().any(|plain| plain == host),
        credential: login(host, name, known, loader)?,
        realms: known.0.realms.clone(),
    };
    let begin = Instant::now();
    let ask = |reach: &Reach| {
        let parts = Parts { repository: repository.clone(), reach: reach.clone() };
        let manifest = parts.coming(top.clone()).and_then(|coming| read_limited(coming, DOCUMENT_MAX));
        Ok((parts, manifest.with_context(|| format!("looking up {reference}"))?))
    };
    let keep = |(parts, manifest): (Parts, Vec<u8>)| {
        let reach = parts.reach.patient();
        let parts = Parts { reach: reach.clone(), ..parts };
        let found = Digest::of(&manifest);
        let image = match pin {
            Pin::Digest(digest) => image::of_pinned(&reference, Arc::new(parts), manifest, digest.clone())?,
            Pin::Tag(_) => {
                let image = image::of_signed(&reference, Arc::new(parts), manifest, &keys)?;
                refuse_older(&image)?;
                image
            }
        };
        unpack(&image, Room::Beside)?;
        let (size, seconds) = (Bytes(image.stored_bytes()), begin.elapsed().as_secs_f64());
        log(Level::Info, &format!("{size} from {reference}, unpacked, in {seconds:.1} s"));
        Ok(Pulled { files: fetch_more(more, &reach)?, digest: found.hex().to_owned() })
    };
    over_network(known, loader, ask, keep)
}

/// Returns the login at a registry, from a disk of this machine; none if the words name no such file.
fn login(host: &str, repository: &str, (words, events): (&Words, &Events), loader: &mut Loader) -> Result<Credential> {
    let Some(place) = &words.auth else { return Ok(Credential::None) };
    let reading = || format!("reading the login for {host} ({AUTH_KEY}{place})");
    let (device, path) =
        Place::read_on_disk(place).map_err(|found| failed(found, "name it: flipslot.auth=PARTLABEL=data/…"))?;
    let only_read = Words {
        root: place.clone(),
        filesystems: Vec::new(),
        options: String::new(),
        writable: false,
        patience: words.patience.or(Some(TO_COME)),
        ..words.clone()
    };
    mount_device(&device, OF_LOGIN, &only_read, events, loader).with_context(reading)?;
    let found = credentials::find(host, repository, Some(&Path::new(OF_LOGIN).join(path.trim_start_matches('/'))));
    unmount(OF_LOGIN, UnmountFlags::empty()).with_context(reading)?;
    match found? {
        Credential::None => {
            let next = format!("log in there: podman login --authfile FILE {host}");
            Err(failed(format!("{AUTH_KEY}{place} has no login for {host}"), next))
        }
        found => Ok(found),
    }
}

/// Unpacks the only image of an archive. One in memory is given back as it is read, and is gone then.
pub fn unpack_archive(file: &str, in_memory: bool) -> Result<()> {
    let path = Path::new(file);
    let (archive, index) = Archive::open(path)?;
    let which = pick(&index, None)?;
    let manifest = verified(&archive, which, DOCUMENT_MAX)?;
    let once = in_memory && is_each_layer_another(&manifest)?;
    let archive = if once { Archive::open_once(path)?.0 } else { archive };
    let reference = Reference::Archive { file: file.into(), pin: None };
    let image = image::of_pinned(&reference, Arc::new(archive), manifest, which.digest.clone())?;
    unpack(&image, if once { Room::WithThat } else { Room::Beside })?;
    if in_memory {
        fs::remove_file(path).with_context(|| format!("removing {file}"))?;
    }
    Ok(())
}

/// Returns true if no two layers of a manifest are one blob, which could be read once only.
fn is_each_layer_another(manifest: &[u8]) -> Result<bool> {
    let Document::Manifest(manifest) = document::parse(manifest)? else { return Ok(false) };
    let digests: BTreeSet<String> = manifest.layers.iter().map(|layer| layer.digest.to_string()).collect();
    Ok(digests.len() == manifest.layers.len())
}
