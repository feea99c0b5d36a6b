//! The origin of an image: `root=flipslot:`.

use crate::error::{Result, failed};
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
    /// Name that the network has for this machine.
    pub host: Option<String>,
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
    /// A registry, by this reference with its digest.
    Registry(String),
}

impl Source {
    /// Reads the word; fails for what this init does not fetch.
    pub fn read(root: &str) -> Result<Source> {
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
        let is_reference = place.starts_with("docker://");
        let place = match place.find('/') {
            Some(0) => Place::Initramfs(place.to_owned()),
            Some(at) if place.starts_with("PARTUUID=") => Place::Device(place[..at].to_owned(), place[at..].to_owned()),
            _ if (is_address || is_reference) && digest.is_none() => {
                return Err(no_digest(root));
            }
            _ if is_reference => Place::Registry(text.to_owned()),
            _ if is_address => Place::Server(place.to_owned()),
            _ => {
                let found = format!("root={root} names no image that this initramfs can reach");
                let next = "name one: root=flipslot:/image, PARTUUID=…/path, https://…@sha256:… or docker://…@sha256:…";
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

/// Refuses an image on a server without a digest.
pub fn no_digest(root: &str) -> Error {
    let found = format!("root={root} has no digest: anyone on the way could send another image");
    failed(found, "name it: root=flipslot:…@sha256:…")
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
        for odd in ["flipslot:", "flipslot:/a/../b", "flipslot:/i@sha256:1"] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn n6_an_image_of_a_server_needs_a_digest_of_a_kind_that_is_known() {
        let said = |root: &str| Source::read(root).unwrap_err().to_string();
        assert!(said("flipslot:http://x/y").contains("has no digest"));
        assert!(said("flipslot:docker://x/y:tag").contains("has no digest"));
        assert!(said("flipslot:https://x/y@sha512:00").contains("has no digest"));
        assert!(said("flipslot:https://x/y@sha256:00").contains("'00' is not a digest"));
    }
}
