//! The payload of containers-signature(5), which cosign and skopeo sign for the tag `sha256-….sig`.

use crate::words::digest::Digest;
use serde::Deserialize;

/// The type that cosign writes into `critical.type`; skopeo writes the same.
const TYPE: &str = "cosign container image signature";

/// A claim that an image has a name.
#[derive(Debug, PartialEq, Eq)]
pub struct Claim {
    /// Digest of the manifest or the index.
    pub digest: Digest,
    /// Name of the image, with its repository and perhaps its tag; `None` in forms that name none.
    pub name: Option<String>,
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

/// The part that a reader must understand in full: an unknown key is refused (containers-signature(5)).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    r#type: String,
    image: Image,
    identity: Identity,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Identity {
    docker_reference: String,
}

/// Reads a payload whose signature was verified. `None` if it is not one for a container image.
pub fn claim(payload: &[u8]) -> Option<Claim> {
    let Payload { critical } = serde_json::from_slice(payload).ok()?;
    let Critical { r#type, image, identity } = critical;
    (r#type == TYPE).then_some(Claim { digest: image.docker_manifest_digest, name: Some(identity.docker_reference) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_read_and_one_with_more_to_understand_is_not() {
        let digest = Digest::of(b"");
        let payload = |extra: &str, r#type: &str| {
            format!(
                r#"{{"critical":{{"identity":{{"docker-reference":"h/r"}},"image":{{"docker-manifest-digest":
                "{digest}"}},"type":"{type}"{extra}}},"optional":null}}"#
            )
        };
        let read = |extra, r#type| claim(payload(extra, r#type).as_bytes());
        assert_eq!(read("", TYPE), Some(Claim { digest: digest.clone(), name: Some("h/r".to_owned()) }));
        assert_eq!(read(r#","expires":1"#, TYPE), None);
        assert_eq!(read("", "atomic container signature"), None);
        assert_eq!(claim(b"[]"), None);
    }
}
