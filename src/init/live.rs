//! A live root: an image in one file, verified and mounted, with files in memory over it. A restart is the image again.

use crate::error::{Result, failed};
use crate::init::devices::{Events, Wanted};
use crate::init::host_layer::{self, HostLayer, host_name, mount_layers};
use crate::init::identity;
use crate::init::image_file::{Mounted, mount_at, mount_file};
use crate::init::kernel_log::{Level, log};
use crate::init::live_facts::{HostFrom, LiveFacts};
use crate::init::load::Loader;
#[cfg(not(feature = "net"))]
use crate::init::no_network as network;
#[cfg(not(feature = "net"))]
use crate::init::no_network::Pulled;
use crate::init::overlay::{
    DATA, FOLDER, LAYER, MEDIUM, SCRATCH, WRITABLE, cover, cover_folder, join, kept, lower_of, mount_scratch,
};
#[cfg(feature = "net")]
use crate::init::pull::{self as network, Pulled};
use crate::init::root::{PLACE, mount_device};
use crate::init::source::{Fetched, Place, RemoteFile, SCHEME, Source};
use crate::init::verity;
use crate::init::words::{Overlay, Words};
use crate::init::zram;
use crate::words::hex::hex_of;
use anyhow::Context;
use rustix::mount::mount_move;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Format of an OCI archive, as `flipslot.format=` names it: its layers are unpacked.
const ARCHIVE: &str = "oci-archive";
/// Format of a root that was unpacked from layers.
const UNPACKED: &str = "unpacked";

/// Mounts the image that the command line names, and what is written over it.
pub fn mount_live(words: &Words, events: &Events, loader: &mut Loader) -> Result<()> {
    let mut source = Source::read_signed("root=", &words.root, !words.keys.is_empty())?;
    let layers = host_layer::sources(&words.host_layers)?;
    fs::create_dir_all(FOLDER)?;
    if let Some(size) = &words.zram {
        // Most machines come up without.
        let swapped = zram::swap_into(size, loader);
        swapped.unwrap_or_else(|error| log(Level::Warning, &format!("flipslot.zram={size}: {error:#}")));
    }
    let Fetched { what: brought, host: known } = bring(&source, &layers, (words, events), loader)?;
    source.digest = source.digest.or_else(|| brought.pulled.clone());
    let Placed { format, memory, written, layers } =
        place(&brought, &source, known.as_ref().map(|(name, _)| name.as_str()), (words, events), loader)?;
    let (host, host_from) = name_machine(words, &layers, known).unzip();
    let origin = words.root.strip_prefix(SCHEME).unwrap_or(&words.root);
    let origin = origin.split_once("@sha256:").map_or(origin, |(origin, _)| origin).to_owned();
    let host_layers = layers.into_iter().map(|layer| layer.digest).collect();
    let (digest, by_blocks) = (source.digest, brought.device.is_some());
    let (version, source) = (1, origin);
    let facts = LiveFacts { version, source, digest, by_blocks, format, memory, written, host_layers, host, host_from };
    if let Err(error) = facts.write() {
        log(Level::Warning, &format!("flipslot status will not know this boot: {error:#}"));
    }
    Ok(())
}

/// An image that became the root.
struct Placed {
    format: String,
    /// Memory that it takes, in bytes.
    memory: u64,
    /// Folder on a disk that keeps what is written.
    written: Option<String>,
    /// Layers of the host over it, the lowest first.
    layers: Vec<HostLayer>,
}

/// Makes the image the root: files in memory, or one file that is mounted, with what is written over it. `host` is the name
/// that the network has for this machine.
fn place(
    brought: &Brought,
    source: &Source,
    host: Option<&str>,
    (words, events): (&Words, &Events),
    loader: &mut Loader,
) -> Result<Placed> {
    let in_memory = !matches!(source.place, Place::Device(..));
    let digest = source.digest.as_deref();
    let of_files = |format: &str, loader: &mut Loader| {
        network::warn_of_another(PLACE);
        let layers = mount_layers(&brought.layers, digest, loader)?;
        network::complete(&layers, &words.overlay)?;
        let given = host_layer::give_back(&brought.layers);
        given.unwrap_or_else(|error| log(Level::Warning, &format!("memory is not given back: {error:#}")));
        Ok(Placed { format: format.to_owned(), memory: network::used()?, written: None, layers })
    };
    let Here::File(file) = &brought.here else { return of_files(UNPACKED, loader) };
    let format = format_of(file, words)?;
    if format == ARCHIVE {
        network::unpack_archive(file, in_memory)?;
        return of_files(ARCHIVE, loader);
    }
    let base = format!("{FOLDER}/base");
    match &brought.device {
        Some(device) => mount_at(device, ("the image", file), &format, &base, loader)?,
        None => mount_file("the image", file, &format, &base, loader)?,
    }
    if in_memory && !words.stays {
        let layers = &brought.layers;
        network::start_another(&Mounted { place: &base, file, format: &format, digest, layers, host })?;
    }
    let layers = mount_layers(&brought.layers, digest, loader)?;
    let folder = folder_of(words, (source, &layers), events, loader)?;
    let lower = lower_of(&base, &layers.iter().map(|layer| layer.files.as_str()).collect::<Vec<_>>());
    lay_over(&words.overlay, &lower, &folder)?;
    let memory = if in_memory { fs::metadata(file).map_or(0, |found| found.len()) } else { 0 };
    let written = Some(folder).filter(|_| matches!(words.overlay, Overlay::Data(_)));
    Ok(Placed { format, memory, written, layers })
}

/// Gives the machine its name and its identifier. Returns the name that it was given, and its origin.
fn name_machine(words: &Words, layers: &[HostLayer], known: Option<(String, HostFrom)>) -> Option<(String, HostFrom)> {
    let host = host_name(layers).map(|name| (name, HostFrom::HostLayer));
    let host = host.or(words.host.clone().map(|name| (name, HostFrom::CommandLine)));
    let host = host.or(known);
    let named = identity::write_identity(PLACE, host.as_ref().map(|(name, _)| name.as_str()));
    let named = named.unwrap_or_else(|error| {
        log(Level::Warning, &format!("the machine has no identity yet: {error:#}"));
        false
    });
    host.filter(|_| named)
}

/// Removes the layer of an initramfs that was made for another image than the one that is named: fixes of one are wrong for
/// another.
pub fn leave_layer_of_another(words: &Words, layer_of: Option<&str>) -> Result<()> {
    let source = Source::read_signed("root=", &words.root, !words.keys.is_empty())?;
    let is_other = layer_of.is_some_and(|known| source.digest.as_deref().is_some_and(|digest| digest != known));
    if is_other && Path::new(LAYER).is_dir() {
        log(Level::Warning, "this initramfs was made for another image: this one gets nothing that flipslot adds");
        fs::remove_dir_all(LAYER).context("removing the layer of another image")?;
    }
    Ok(())
}

/// Files that came, and were compared with their digests.
struct Brought {
    here: Here,
    /// Device of a file whose blocks the kernel compares; `None` for all others.
    device: Option<String>,
    /// Layers of the host, the lowest first: the path of each, and its digest.
    layers: Vec<(String, String)>,
    /// Digest of an image of a registry, which may have been named by a tag.
    pulled: Option<String>,
}

/// An image that came.
enum Here {
    /// A file at this path.
    File(String),
    /// The root, of files in memory.
    Root,
}

/// Brings the image here, and the layers of the host. A file was compared with its digest, if it has one.
fn bring(
    source: &Source,
    layers: &[Source],
    known: (&Words, &Events),
    loader: &mut Loader,
) -> Result<Fetched<Brought>> {
    let (words, events) = known;
    let far: Vec<RemoteFile> = layers.iter().filter_map(Source::remote).collect();
    let local = |file: String, loader: &mut Loader| -> Result<_> {
        let rest = if far.is_empty() {
            Fetched { what: Vec::new(), host: None }
        } else {
            network::fetch(&far, known, loader)?
        };
        Ok(rest.map(|came| (Here::File(file), came)))
    };
    let whole = |file: &str| source.digest.as_deref().map_or(Ok(()), |digest| verify(file, digest));
    let (mut pulled, mut device) = (None, None);
    let fetched = match &source.place {
        Place::Initramfs(path) => {
            whole(path)?;
            local(path.clone(), loader)?
        }
        Place::Device(partition, path) => {
            let wanted = Wanted::read(partition).map_err(|found| failed(found, "name it: PARTUUID=…"))?;
            mount_device(&wanted, MEDIUM, words, events, loader)?;
            let file = format!("{MEDIUM}{path}");
            device = by_blocks(&file, words, loader);
            if device.is_none() {
                whole(&file)?;
            }
            local(file, loader)?
        }
        Place::Server(_) => {
            let files: Vec<RemoteFile> = source.remote().into_iter().chain(far).collect();
            let mut fetched = network::fetch(&files, known, loader)?;
            let image = fetched.what.remove(0);
            fetched.map(|came| (Here::File(image), came))
        }
        Place::Registry(reference) => {
            let Fetched { what: Pulled { files, digest }, host } = network::pull(reference, &far, known, loader)?;
            pulled = Some(digest);
            Fetched { what: (Here::Root, files), host }
        }
    };
    let (here, came) = fetched.what;
    let layers = with_digests(layers, came)?;
    Ok(Fetched { what: Brought { here, device, layers, pulled }, host: fetched.host })
}

/// Returns the device of a file whose blocks the kernel compares; `None` if the words have no hash for that, or the kernel
/// cannot do it: the file is read once instead.
fn by_blocks(file: &str, words: &Words, loader: &mut Loader) -> Option<String> {
    let opened = verity::open(file, words.verity.as_deref()?, words.deadline.is_some(), loader);
    opened.inspect_err(|error| log(Level::Warning, &format!("all of {file} is read: {error:#}"))).ok()
}

/// Returns the path of each layer with its digest; `came` has those that were fetched, in order.
fn with_digests(layers: &[Source], came: Vec<String>) -> Result<Vec<(String, String)>> {
    let mut came = came.into_iter();
    let path_of = |layer: &Source| {
        let digest = layer.digest.clone().unwrap_or_default();
        let path = match &layer.place {
            Place::Initramfs(path) => {
                verify(path, &digest)?;
                path.clone()
            }
            _ => came.next().context("a layer of this host did not come")?,
        };
        Ok((path, digest))
    };
    layers.iter().map(path_of).collect()
}

/// Returns the folder of what is written over the root: in memory, or on a device, which is mounted.
fn folder_of(
    words: &Words,
    (source, layers): (&Source, &[HostLayer]),
    events: &Events,
    loader: &mut Loader,
) -> Result<String> {
    let Overlay::Data(device) = &words.overlay else { return Ok(format!("{SCRATCH}/root")) };
    let Some(digest) = &source.digest else {
        let found = format!("root={} has no digest: what is kept could belong to another image", words.root);
        return Err(failed(found, "write the slot again: flipslot flash"));
    };
    let wanted = Wanted::read(device).map_err(|found| failed(found, "name it: flipslot.overlay=data:PARTUUID=…"))?;
    let writable = Words { writable: true, filesystems: Vec::new(), options: String::new(), ..words.clone() };
    mount_device(&wanted, DATA, &writable, events, loader).context("mounting the partition of what is kept")?;
    kept(words.slot.as_deref().unwrap_or("root"), &of_all(digest, layers))
}

/// Returns a digest of an image and of the layers over it; that of the image, where there are no layers.
fn of_all(image: &str, layers: &[HostLayer]) -> String {
    if layers.is_empty() {
        return image.to_owned();
    }
    let digests = layers.iter().map(|layer| format!(" {}", layer.digest)).collect::<String>();
    hex_of(&Sha256::digest(format!("{image}{digests}")))
}

/// Mounts the root: the folders of [`lower_of`], and over them what is written.
fn lay_over(overlay: &Overlay, lower: &str, folder: &str) -> Result<()> {
    fs::create_dir_all(PLACE)?;
    match overlay {
        Overlay::Ram(size) => {
            mount_scratch(size.as_deref())?;
            cover(lower, PLACE, folder)
        }
        Overlay::Data(_) => cover(lower, PLACE, folder),
        Overlay::Nothing => {
            mount_scratch(None)?;
            if !lower.contains(':') {
                mount_move(lower, PLACE).context("moving the image")?;
            } else {
                join(lower, PLACE)?;
            }
            WRITABLE.iter().try_for_each(|folder| cover_folder(PLACE, folder))
        }
        Overlay::Other(kind) => {
            let found = format!("flipslot.overlay={kind} is not known to this initramfs");
            Err(failed(found, "use flipslot.overlay=ram, ram:SIZE, data:PARTUUID=… or none"))
        }
    }
}

/// Reads the file once, before anything of it is trusted.
fn verify(file: &str, digest: &str) -> Result<()> {
    let reading = || format!("reading the image {file}");
    let mut hasher = Sha256::new();
    let mut input = File::open(file).with_context(reading)?;
    let mut chunk = vec![0; 1 << 20];
    loop {
        match input.read(&mut chunk).with_context(reading)? {
            0 => break,
            length => hasher.update(&chunk[..length]),
        }
    }
    let found = hex_of(&hasher.finalize());
    if found == digest {
        return Ok(());
    }
    let found =
        format!("the image {file} is damaged: it has the digest sha256:{found}, and sha256:{digest} was asked for");
    Err(failed(found, "write it again: flipslot flash, or flipslot netboot"))
}

/// Returns the format of the file: the one that is asked for, else the one that it says.
fn format_of(file: &str, words: &Words) -> Result<String> {
    if let Some(format) = &words.format {
        return Ok(format.clone());
    }
    let mut head = Vec::new();
    File::open(file)
        .and_then(|file| file.take(2048).read_to_end(&mut head))
        .with_context(|| format!("reading the image {file}"))?;
    // squashfs_fs.h, SQUASHFS_MAGIC; erofs_fs.h, EROFS_SUPER_MAGIC_V1 at EROFS_SUPER_OFFSET.
    if head.starts_with(b"hsqs") {
        return Ok("squashfs".to_owned());
    }
    if head.get(1024..1028) == Some(&[0xe2, 0xe1, 0xf5, 0xe0]) {
        return Ok("erofs".to_owned());
    }
    // ustar Interchange Format (POSIX, pax): magic.
    if head.get(257..262) == Some(b"ustar") {
        return Ok(ARCHIVE.to_owned());
    }
    Err(failed(
        format!("the image {file} is neither a squashfs nor an EROFS nor an OCI archive"),
        "make it: flipslot image",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_byte_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "image").unwrap();
        let path = file.path().to_str().unwrap();
        let digest = |text: &[u8]| hex_of(&Sha256::digest(text));
        verify(path, &digest(b"image")).unwrap();
        let error = verify(path, &digest(b"imagf")).unwrap_err().to_string();
        assert!(error.contains("has the digest sha256:") && error.contains("was asked for"), "{error}");
    }

    #[test]
    fn what_is_written_over_a_layer_is_not_kept_for_another_layer() {
        let layer = |digest: &str| HostLayer { files: String::new(), digest: digest.to_owned(), host: None };
        assert_eq!(of_all("ab", &[]), "ab", "what was kept before layers were there stays");
        let one = of_all("ab", &[layer("1")]);
        assert_ne!(one, of_all("ab", &[layer("2")]));
        assert_ne!(one, of_all("ac", &[layer("1")]));
    }

    #[test]
    fn a_file_says_its_format_unless_the_words_do() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let format = |bytes: &[u8], line: &str| {
            fs::write(file.path(), bytes).unwrap();
            format_of(file.path().to_str().unwrap(), &Words::read(line))
        };
        assert_eq!(format(b"hsqs....", "").unwrap(), "squashfs");
        let mut erofs = vec![0; 1024];
        erofs.extend([0xe2, 0xe1, 0xf5, 0xe0]);
        assert_eq!(format(&erofs, "").unwrap(), "erofs");
        let mut archive = vec![0; 512];
        archive[257..262].copy_from_slice(b"ustar");
        assert_eq!(format(&archive, "").unwrap(), "oci-archive");
        assert_eq!(format(b"anything", "flipslot.format=erofs").unwrap(), "erofs");
        assert!(format(b"PK", "").unwrap_err().to_string().contains("neither a squashfs nor an EROFS"));
    }
}
