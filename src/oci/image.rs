//! An image with a verified manifest and config, and with layers that can be fetched.

use crate::error::{Result, refused};
use crate::layer::stream::{Blob, Expected, Fetching, fetch};
use crate::layer::{Budget, RootSink, apply};
use crate::oci::archive::Archive;
use crate::oci::cache::{Cache, Cached};
use crate::oci::docker_archive::DockerArchive;
use crate::oci::document::{DOCUMENT_MAX, Described, Descriptor, Document, INDEX_TYPES, MANIFEST_TYPES};
use crate::oci::layout::Layout;
use crate::oci::platform::Platform;
use crate::oci::reference::Reference;
use crate::oci::registry::{Access, Caching, Registry};
use crate::oci::signature::Rules;
use crate::oci::signature::Verdict;
use crate::oci::signature::rules::Demand;
use crate::oci::source::{Source, check, verified};
use crate::oci::{document, layout};
use crate::unpack;
use crate::unpack::{LayerTask, Sender, Task};
use crate::words::digest::Digest;
use anyhow::Context;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

/// The most documents from the reference down to the manifest: tools write at most an index of indexes.
const NESTING_MAX: usize = 3;

/// A pinned image: the tag it came from may move later without changing what is written.
pub struct Image {
    /// Reference as the user gave it.
    pub reference: Reference,
    /// Digest of the manifest, or of the config where the archive has no manifest (docker-archive).
    pub digest: Digest,
    /// Time at which it was made, in seconds since 1970, as its config says.
    pub created: Option<u64>,
    /// Judgement of its signatures.
    pub signature: Verdict,
    layers: Vec<Layer>,
}

/// A layer of an [`Image`], ready to be fetched.
#[derive(Clone)]
struct Layer {
    expected: Expected,
    /// Size of the stored blob in bytes.
    size: u64,
    open: Arc<dyn Fn() -> Result<Box<dyn Read>> + Send + Sync>,
}

impl Image {
    /// Returns the number of layers.
    pub fn layer_count(&self) -> usize {
        self.layers.len()
    }

    /// Returns the size of all layers in bytes, as they are stored.
    pub fn stored_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add)
    }

    /// Returns this image without the layers of `base`. Refuses one that does not begin with those.
    pub fn above(&self, base: &Image) -> Result<Image> {
        let of_base = base.layers.len();
        let is_same = |(ours, theirs): (&Layer, &Layer)| ours.expected.diff_id == theirs.expected.diff_id;
        if self.layers.len() < of_base || !self.layers.iter().zip(&base.layers).all(is_same) {
            let found = format!("{} does not begin with the layers of {}", self.reference, base.reference);
            return Err(refused(found, format!("build it on that image, and no other version of it: {}", base.digest)));
        }
        let layers = self.layers[of_base..].to_vec();
        let (reference, digest, signature) = (self.reference.clone(), self.digest.clone(), self.signature.clone());
        Ok(Image { reference, digest, created: self.created, signature, layers })
    }

    /// Writes all layers to `sink` in one pass, lowest first, fetching the next layer while one is written. Returns the
    /// proof that every byte of every layer was read and had the expected digest.
    /// `count` is called with the number of bytes of each chunk that arrives. An error names the layer.
    pub fn apply_to(
        &self,
        sink: &mut dyn RootSink,
        mut budget: Budget,
        count: impl Fn(u64) + Send + Clone + 'static,
    ) -> Result<Verified> {
        let longest = budget.stream_max();
        let mut coming = self.layers.first().map(|layer| layer.fetch(count.clone()));
        for (index, layer) in self.layers.iter().enumerate() {
            let Some(fetching) = coming.take() else { break };
            coming = self.layers.get(index + 1).map(|next| next.fetch(count.clone()));
            apply(fetching.decompress(longest), sink, &mut budget)
                .with_context(|| format!("layer {} of {} ({})", index + 1, self.layers.len(), layer.name()))?;
        }
        sink.finish()?;
        Ok(Verified(()))
    }
}

/// The proof that all layers of an image were read to their ends and verified; made by [`Image::apply_to`] and
/// [`Image::unpack_at`] alone.
#[derive(Debug)]
pub struct Verified(());

impl Image {
    /// Writes all layers into a mounted slot, as [`Image::apply_to`] does, by a process of its own behind walls. This
    /// one fetches them and verifies the blobs; that one verifies what is in them.
    pub fn unpack_at(&self, task: &Task, count: impl Fn(u64) + Send + Clone + 'static) -> Result<Verified> {
        let task_of = |layer: &Layer| LayerTask {
            name: layer.name().clone(),
            diff_id: layer.expected.diff_id.clone(),
            compression: layer.expected.compression,
        };
        let layers: Vec<LayerTask> = self.layers.iter().map(task_of).collect();
        unpack::run(task, &layers, |sender| self.send_to(sender, count))?;
        Ok(Verified(()))
    }

    /// Sends all layers, lowest first, fetching the next one while one is sent.
    fn send_to(&self, sender: &mut Sender<File>, count: impl Fn(u64) + Send + Clone + 'static) -> Result<()> {
        let mut coming = self.layers.first().map(|layer| layer.fetch(count.clone()));
        for (index, layer) in self.layers.iter().enumerate() {
            let Some(fetching) = coming.take() else { break };
            coming = self.layers.get(index + 1).map(|next| next.fetch(count.clone()));
            let sent = fetching.pass_to(|bytes| sender.bytes(bytes)).and_then(|()| Ok(sender.end()?));
            sent.with_context(|| format!("layer {} of {} ({})", index + 1, self.layers.len(), layer.name()))?;
        }
        Ok(())
    }
}

impl Layer {
    /// Returns the layer's name in messages: the digest of its blob, or else its `diff_id`.
    fn name(&self) -> &Digest {
        self.expected.blob.as_ref().map_or(&self.expected.diff_id, |blob| &blob.digest)
    }

    fn fetch(&self, count: impl Fn(u64) + Send + 'static) -> Fetching {
        let open = Arc::clone(&self.open);
        fetch(self.expected.clone(), move || open(), count)
    }
}

/// Looks up a reference once: reads and verifies index, manifest, signatures and config, in this order.
pub fn resolve(reference: &Reference, platform: &Platform, access: &Access) -> Result<Image> {
    let looked_up = access.rules.demand(reference).and_then(|demand| match reference {
        Reference::DockerArchive { file, name } => DockerArchive::open(file, name.as_deref())
            .and_then(|archive| saved_image(reference, archive, platform, &demand)),
        _ => open(reference, access).and_then(|(source, top)| image(reference, source, &top, platform, &demand)),
    });
    looked_up.with_context(|| format!("looking up {reference}"))
}

/// Reads config and layers of an image whose manifest or index is there: its bytes must have the digest.
pub fn of_pinned(reference: &Reference, source: Arc<dyn Source>, bytes: Vec<u8>, digest: Digest) -> Result<Image> {
    check(&digest, &bytes)?;
    let demand = Rules::default().demand(reference)?;
    image(reference, source, &Top { bytes, digest }, &Platform::of_this_machine(), &demand)
}

/// Reads an image that one of the keys in these files must have signed, and whose manifest or index is there.
pub fn of_signed(reference: &Reference, source: Arc<dyn Source>, bytes: Vec<u8>, keys: &[PathBuf]) -> Result<Image> {
    let demand = Rules { keys: keys.to_vec(), policy: None }.demand(reference)?;
    let digest = Digest::of(&bytes);
    image(reference, source, &Top { bytes, digest }, &Platform::of_this_machine(), &demand)
}

/// Opens the source that `reference` names and reads the document that it pins.
fn open(reference: &Reference, access: &Access) -> Result<(Arc<dyn Source>, Top)> {
    Ok(match reference {
        Reference::Registry { host, repository, pin } => {
            let (registry, bytes, digest) = Registry::find(host, repository, pin, access)?;
            let cache = match &access.cache {
                Caching::Off => None,
                Caching::Named(folder) => Some(Cache::open(folder)?),
                Caching::Default(folder) => Cache::open_default(folder),
            };
            let source: Arc<dyn Source> = match cache {
                Some(cache) => Arc::new(Cached { source: Arc::new(registry), cache: Arc::new(cache) }),
                None => Arc::new(registry),
            };
            (source, Top { bytes, digest })
        }
        Reference::Layout { directory, pin } => {
            let (layout, index) = Layout::open(directory)?;
            let top = Top::read(&layout, layout::pick(&index, pin.as_ref())?)?;
            (Arc::new(layout), top)
        }
        Reference::Archive { file, pin } => {
            let (archive, index) = Archive::open(file)?;
            let top = Top::read(&archive, layout::pick(&index, pin.as_ref())?)?;
            (Arc::new(archive), top)
        }
        Reference::DockerArchive { .. } => unreachable!("resolve() sends these another way"),
    })
}

/// The document that the reference pins: an index or a manifest.
struct Top {
    bytes: Vec<u8>,
    digest: Digest,
}

impl Top {
    fn read(source: &dyn Source, which: &Descriptor) -> Result<Top> {
        Ok(Top { bytes: verified(source, which, DOCUMENT_MAX)?, digest: which.digest.clone() })
    }
}

fn image(
    reference: &Reference,
    source: Arc<dyn Source>,
    top: &Top,
    platform: &Platform,
    demand: &Demand,
) -> Result<Image> {
    let (mut bytes, mut digest) = (top.bytes.clone(), top.digest.clone());
    for _ in 0..NESTING_MAX {
        let manifest = match document::parse(&bytes)? {
            Document::Index(manifests) => {
                let chosen = document::choose(&manifests, platform)?;
                let known = INDEX_TYPES.iter().chain(&MANIFEST_TYPES).any(|known| *known == chosen.media_type);
                if !known {
                    return Err(refused(
                        format!("the index lists a '{}', which is not an image", chosen.media_type.escape_debug()),
                        "",
                    ));
                }
                bytes = verified(source.as_ref(), chosen, DOCUMENT_MAX)?;
                digest = chosen.digest.clone();
                continue;
            }
            Document::Manifest(manifest) => manifest,
        };
        let digests =
            if digest == top.digest { vec![digest.clone()] } else { vec![top.digest.clone(), digest.clone()] };
        let attached = || digests.iter().map(|digest| source.attached(digest)).collect::<Result<Vec<_>>>();
        let signature = demand.judge(&digests, || Ok(attached()?.into_iter().flatten().collect()))?;
        let config = verified(source.as_ref(), &manifest.config, DOCUMENT_MAX).context("reading the image's config")?;
        let Described { diff_ids, created } = document::config(&config, platform, manifest.layers.len())?;
        let layers = manifest
            .layers
            .into_iter()
            .zip(diff_ids)
            .map(|(descriptor, diff_id)| layer(&source, descriptor, diff_id))
            .collect::<Result<_>>()?;
        return Ok(Image { reference: reference.clone(), digest, created, signature, layers });
    }
    Err(refused("the image's indexes are nested too deeply", "pin the manifest by its digest: name@sha256:…"))
}

fn layer(source: &Arc<dyn Source>, descriptor: Descriptor, diff_id: Digest) -> Result<Layer> {
    let compression = document::compression(&descriptor)?;
    let blob = Blob { digest: descriptor.digest.clone(), size: descriptor.size };
    let expected = Expected { blob: Some(blob), diff_id, compression };
    let source = Arc::clone(source);
    let size = descriptor.size;
    Ok(Layer { expected, size, open: Arc::new(move || source.blob(&descriptor)) })
}

fn saved_image(reference: &Reference, archive: DockerArchive, platform: &Platform, demand: &Demand) -> Result<Image> {
    let (config, digest) = archive.config()?;
    let signature = demand.judge(std::slice::from_ref(&digest), || Ok(Vec::new()))?;
    let saved = archive.layers()?;
    let Described { diff_ids, created } = document::config(&config, platform, saved.len())?;
    let archive = Arc::new(archive);
    let layers = saved
        .into_iter()
        .zip(diff_ids)
        .map(|((name, size, compression), diff_id)| {
            let archive = Arc::clone(&archive);
            let expected = Expected { blob: None, diff_id, compression };
            Layer { expected, size, open: Arc::new(move || archive.layer(&name)) }
        })
        .collect();
    Ok(Image { reference: reference.clone(), digest, created, signature, layers })
}
