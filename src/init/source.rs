//! The origin of an image, or of a layer of a host: `root=flipslot:`, `flipslot.host-layer=`.

use crate::error::{Result, failed};
use crate::init::devices::Wanted;
use crate::init::live_facts::HostFrom;
use anyhow::Error;

/// Start of a `root=` that names an image.
pub const SCHEME: &str = "flipslot:";

/// An image, as `root=flipslot:` names it.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Place of it.
    pub place: Place,
    /// SHA-256 that its bytes must have, in lower-case hexadecimal.
    pub digest: Option<String>,
}

/// Something that was fetched.
pub struct Fetched<T> {
    /// The value that was fetched.
    pub what: T,
    /// Name that the network has for this machine, and its origin.
    pub host: Option<(String, HostFrom)>,
}

impl<T> Fetched<T> {
    /// Returns something made of it, with the same name of the machine.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Fetched<U> {
        Fetched { what: make(self.what), host: self.host }
    }
}

/// A file of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Address of it.
    pub url: String,
    /// SHA-256 that its bytes must have, in lower-case hexadecimal.
    pub digest: String,
}

/// Places of an image.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// The initramfs, at this absolute path.
    Initramfs(String),
    /// A device, as `root=` names it, at this absolute path.
    Device(String, String),
    /// A server, at this address.
    Server(String),
    /// A registry, by this reference with its digest, or the tag of a signed image.
    Registry(String),
}

impl Place {
    /// Reads `DEVICE/PATH`, a file on a device; an error says what it is not.
    pub fn read_on_disk(text: &str) -> Result<(Wanted, String), String> {
        let odd = || format!("{text} is not a file on a device, as DEVICE/PATH");
        // Names of devices have a '/', too; none of those below /dev/ is the same on two machines.
        let (device, path) = text.find('/').filter(|at| *at > 0).map(|at| text.split_at(at)).ok_or_else(odd)?;
        let is_file = !path.ends_with('/') && !path.split('/').any(|part| part == "..");
        let device = Wanted::read(device).ok().filter(|_| is_file).ok_or_else(odd)?;
        Ok((device, path.to_owned()))
    }
}

impl Source {
    /// Returns the file of a server that this is; `None` for all others.
    pub fn remote(&self) -> Option<RemoteFile> {
        let Place::Server(url) = &self.place else { return None };
        Some(RemoteFile { url: url.clone(), digest: self.digest.clone().unwrap_or_default() })
    }

    /// Reads the value of `word`, as `root=`; fails for what this init does not fetch.
    pub fn read(word: &str, value: &str) -> Result<Source> {
        Source::read_signed(word, value, false)
    }

    /// Reads it as [`Source::read`] does, but takes a tag of a registry for an image that must be signed.
    pub fn read_signed(word: &str, value: &str, is_signed: bool) -> Result<Source> {
        let text = value.strip_prefix(SCHEME).unwrap_or(value);
        let (place, digest) = match text.split_once("@sha256:") {
            Some((place, hex)) if hex.len() == 64 && hex.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
                (place, Some(hex.to_ascii_lowercase()))
            }
            Some((_, hex)) => {
                return Err(failed(format!("{word}{value}: '{hex}' is not a digest"), "copy all 64 digits"));
            }
            None => (text, None),
        };
        let is_address = place.starts_with("http://") || place.starts_with("https://");
        let is_reference = place.starts_with("docker://");
        let place = match place.find('/') {
            Some(0) => Place::Initramfs(place.to_owned()),
            Some(at) if place.starts_with("PARTUUID=") => Place::Device(place[..at].to_owned(), place[at..].to_owned()),
            _ if digest.is_none() && (is_address || (is_reference && !is_signed)) => {
                return Err(no_digest(&format!("{word}{value}")));
            }
            _ if is_reference => Place::Registry(text.to_owned()),
            _ if is_address => Place::Server(place.to_owned()),
            _ => {
                let found = format!("{word}{value} names no image that this initramfs can reach");
                let next = "name one: root=flipslot:/image, PARTUUID=…/path, https://…@sha256:… or docker://…@sha256:…";
                return Err(failed(found, next));
            }
        };
        if matches!(&place, Place::Initramfs(path) | Place::Device(_, path) if path.split('/').any(|part| part == ".."))
        {
            return Err(failed(format!("{word}{value} has a path with .."), "name the file by its own path"));
        }
        Ok(Source { place, digest })
    }
}

/// Refuses an image on a server without a digest.
pub fn no_digest(named: &str) -> Error {
    let found = format!("{named} has no digest: anyone on the way could send another image");
    failed(found, "name it with its digest: …@sha256:…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_in_the_initramfs_or_on_a_partition() {
        let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let read = |root: &str| Source::read("root=", root).map(|source| (source.place, source.digest));
        assert_eq!(read("flipslot:/image").unwrap(), (Place::Initramfs("/image".to_owned()), None));
        assert_eq!(
            read(&format!("flipslot:PARTUUID=ab-01/flipslot/root.erofs@sha256:{digest}")).unwrap(),
            (Place::Device("PARTUUID=ab-01".to_owned(), "/flipslot/root.erofs".to_owned()), Some(digest.to_owned()))
        );
        assert_eq!(
            read(&format!("flipslot:https://srv/root.squashfs@sha256:{digest}")).unwrap(),
            (Place::Server("https://srv/root.squashfs".to_owned()), Some(digest.to_owned()))
        );
        for odd in ["flipslot:", "flipslot:/a/../b", "flipslot:/i@sha256:1"] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_file_on_a_disk_has_a_device_and_a_path() {
        let (device, path) = Place::read_on_disk("PARTLABEL=data/flipslot/auth.json").unwrap();
        assert_eq!((device, path.as_str()), (Wanted::PartLabel("data".to_owned()), "/flipslot/auth.json"));
        for odd in ["", "/auth.json", "/dev/sda1/auth.json", "PARTLABEL=data", "LABEL=x/", "LABEL=x/../y", "what/x"] {
            assert!(Place::read_on_disk(odd).is_err_and(|said| said.contains("is not a file on a device")), "{odd}");
        }
    }

    #[test]
    fn n6_an_image_of_a_server_needs_a_digest_of_a_kind_that_is_known() {
        let said = |root: &str| Source::read("root=", root).unwrap_err().to_string();
        assert!(said("flipslot:http://x/y").contains("has no digest"));
        assert!(said("flipslot:docker://x/y:tag").contains("has no digest"));
        assert!(said("flipslot:https://x/y@sha512:00").contains("has no digest"));
        assert!(said("flipslot:https://x/y@sha256:00").contains("'00' is not a digest"));
    }
}
