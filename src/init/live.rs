//! A live root: an image in one file, verified and mounted, with files in memory over it. A restart is the image again.

use crate::error::{Result, failed};
use crate::init::devices::{Events, Wanted};
use crate::init::identity;
use crate::init::image_file::mount_file;
use crate::init::kernel_log::{Level, log};
use crate::init::live_facts::{HostFrom, LiveFacts};
use crate::init::load::Loader;
use crate::init::overlay::{FOLDER, cover, cover_folder, join, lower_of, mount_scratch};
use crate::init::root::{PLACE, mount_device};
use crate::init::words::{Overlay, Words};
use crate::words::hex::hex_of;
use anyhow::Context;
use rustix::mount::mount_move;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::Read;

/// Start of a `root=` that names an image.
pub const SCHEME: &str = "flipslot:";
/// Folders that may be written with `flipslot.overlay=none`.
const WRITABLE: [&str; 2] = ["etc", "var"];

/// An image, as `root=flipslot:` names it.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    place: Place,
    /// SHA-256 that its bytes must have, in lower-case hexadecimal.
    digest: Option<String>,
}

/// Places of an image.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// The initramfs, at this absolute path.
    Initramfs(String),
    /// A device, as `root=` names it, at this absolute path.
    Device(String, String),
    /// A server, at this address.
    Server(String),
}

impl Source {
    /// Reads the word; fails for what this init does not fetch.
    fn read(root: &str) -> Result<Source> {
        let text = root.strip_prefix(SCHEME).unwrap_or(root);
        let (place, digest) = match text.split_once("@sha256:") {
            Some((place, hex)) if hex.len() == 64 && hex.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
                (place, Some(hex.to_ascii_lowercase()))
            }
            Some((_, hex)) => {
                return Err(failed(format!("root={root}: '{hex}' is not a digest"), "copy all 64 digits"));
            }
            None => (text, None),
        };
        let is_address = place.starts_with("http://") || place.starts_with("https://");
        let place = match place.find('/') {
            Some(0) => Place::Initramfs(place.to_owned()),
            Some(at) if place.starts_with("PARTUUID=") => Place::Device(place[..at].to_owned(), place[at..].to_owned()),
            _ if is_address && digest.is_none() => {
                let found = format!("root={root} has no digest: anyone on the way could send another image");
                return Err(failed(found, "name it: root=flipslot:URL@sha256:…"));
            }
            _ if is_address => Place::Server(place.to_owned()),
            _ => {
                let found = format!("root={root} names no image that this initramfs can reach");
                let next = "name one: root=flipslot:/image, PARTUUID=…/path or https://…@sha256:…";
                return Err(failed(found, next));
            }
        };
        if matches!(&place, Place::Initramfs(path) | Place::Device(_, path) if path.split('/').any(|part| part == ".."))
        {
            return Err(failed(format!("root={root} has a path with .."), "name the file by its own path"));
        }
        Ok(Source { place, digest })
    }
}

/// Mounts the image that the command line names, and what is written over it.
pub fn mount_live(words: &Words, events: &Events, loader: &mut Loader) -> Result<()> {
    let source = Source::read(&words.root)?;
    fs::create_dir_all(FOLDER)?;
    let mut host = words.host.clone();
    let mut host_from = host.as_ref().map(|_| HostFrom::CommandLine);
    let digest = source.digest.as_deref();
    let verified = |file: String| digest.map_or(Ok(()), |digest| verify(&file, digest)).map(|()| file);
    let file = match &source.place {
        Place::Initramfs(path) => verified(path.clone())?,
        Place::Device(device, path) => {
            let medium = format!("{FOLDER}/medium");
            let wanted = Wanted::read(device).map_err(|found| failed(found, "name it: PARTUUID=…"))?;
            mount_device(&wanted, &medium, words, events, loader)?;
            verified(format!("{medium}{path}"))?
        }
        Place::Server(url) => {
            let (file, known) = fetched(url, digest.unwrap_or_default(), words, events, loader)?;
            if let (None, Some(known)) = (&host, known) {
                (host, host_from) = (Some(known), Some(HostFrom::Lease));
            }
            file
        }
    };
    let format = format_of(&file, words)?;
    let base = format!("{FOLDER}/base");
    mount_file("the image", &file, &format, &base, loader)?;
    lay_over(&words.overlay, &base)?;
    let named = identity::write_identity(PLACE, host.as_deref()).unwrap_or_else(|error| {
        log(Level::Warning, &format!("the machine has no identity yet: {error:#}"));
        false
    });
    if !named {
        (host, host_from) = (None, None);
    }
    let in_memory = !matches!(source.place, Place::Device(..));
    let memory = if in_memory { fs::metadata(&file).map_or(0, |found| found.len()) } else { 0 };
    let place = words.root.strip_prefix(SCHEME).unwrap_or(&words.root);
    let place = place.split_once("@sha256:").map_or(place, |(place, _)| place).to_owned();
    let facts = LiveFacts { version: 1, source: place, digest: source.digest, format, memory, host, host_from };
    if let Err(error) = facts.write() {
        log(Level::Warning, &format!("flipslot status will not know this boot: {error:#}"));
    }
    Ok(())
}

/// Mounts the root: the image at `base`, with the layer of flipslot over it, and over that what is written.
fn lay_over(overlay: &Overlay, base: &str) -> Result<()> {
    fs::create_dir_all(PLACE)?;
    let lower = lower_of(base);
    match overlay {
        Overlay::Ram(size) => {
            mount_scratch(size.as_deref())?;
            cover(&lower, PLACE, "root")
        }
        Overlay::Nothing => {
            mount_scratch(None)?;
            if lower == base {
                mount_move(base, PLACE).context("moving the image")?;
            } else {
                join(&lower, PLACE)?;
            }
            WRITABLE.iter().try_for_each(|folder| cover_folder(PLACE, folder))
        }
        Overlay::Other(kind) => {
            let found = format!("flipslot.overlay={kind} is not known to this initramfs");
            Err(failed(found, "use flipslot.overlay=ram, ram:SIZE or none"))
        }
    }
}

/// Fetches an image; returns the path of its file, and the name that the network has for this machine.
#[cfg(feature = "net")]
fn fetched(
    url: &str,
    digest: &str,
    words: &Words,
    events: &Events,
    loader: &mut Loader,
) -> Result<(String, Option<String>)> {
    crate::init::remote::fetch(url, digest, words, events, loader).map(|fetched| (fetched.file, fetched.host))
}

/// Fails: an initramfs for disks reaches no network.
#[cfg(not(feature = "net"))]
fn fetched(url: &str, _: &str, _: &Words, _: &Events, _: &mut Loader) -> Result<(String, Option<String>)> {
    Err(failed(format!("{url} is on a server, and this initramfs is for disks"), "make one: flipslot netboot"))
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
    let found = format!("the image {file} has the digest sha256:{found}, and sha256:{digest} was asked for");
    Err(failed(found, "write it again"))
}

/// Returns the filesystem of the file: the one that is asked for, else the one that it says.
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
    Err(failed(format!("the image {file} is neither a squashfs nor an EROFS"), "make it: flipslot image"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_in_the_initramfs_or_on_a_partition() {
        let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let read = |root: &str| Source::read(root).map(|source| (source.place, source.digest));
        assert_eq!(read("flipslot:/image").unwrap(), (Place::Initramfs("/image".to_owned()), None));
        assert_eq!(
            read(&format!("flipslot:PARTUUID=ab-01/flipslot/root.erofs@sha256:{digest}")).unwrap(),
            (Place::Device("PARTUUID=ab-01".to_owned(), "/flipslot/root.erofs".to_owned()), Some(digest.to_owned()))
        );
        assert_eq!(
            read(&format!("flipslot:https://srv/root.squashfs@sha256:{digest}")).unwrap(),
            (Place::Server("https://srv/root.squashfs".to_owned()), Some(digest.to_owned()))
        );
        for odd in ["flipslot:", "flipslot:docker://x/y", "flipslot:/a/../b", "flipslot:/i@sha256:1"] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn n6_an_image_of_a_server_needs_a_digest_of_a_kind_that_is_known() {
        let said = |root: &str| Source::read(root).unwrap_err().to_string();
        assert!(said("flipslot:http://x/y").contains("has no digest"));
        assert!(said("flipslot:https://x/y@sha512:00").contains("has no digest"));
        assert!(said("flipslot:https://x/y@sha256:00").contains("'00' is not a digest"));
    }

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
        assert_eq!(format(b"anything", "flipslot.format=erofs").unwrap(), "erofs");
        assert!(format(b"PK", "").unwrap_err().to_string().contains("neither a squashfs nor an EROFS"));
    }
}
