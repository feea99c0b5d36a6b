//! The names that a signature may have signed, for an image to be used under the name that the user wrote
//! (`signedIdentity` of policy.json(5)).

use crate::oci::reference::{Pin, Reference};
use serde::Deserialize;

/// The rule by which a signed name is compared.
///
/// Variants without a key have braces, so that an unknown key is refused there, too.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum SignedIdentity {
    /// Accepts the same repository with the same tag or digest.
    MatchExact {},
    /// Accepts the same repository, and where the user names a tag, that tag alone.
    MatchRepoDigestOrExact {},
    /// Accepts the same repository with any tag.
    MatchRepository {},
    /// This very name.
    ExactReference {
        /// Name with tag or digest.
        docker_reference: String,
    },
    /// A name in this repository.
    ExactRepository {
        /// Name without tag and digest.
        docker_repository: String,
    },
    /// The name as [`SignedIdentity::MatchRepoDigestOrExact`] compares it, after a prefix was replaced.
    RemapIdentity {
        /// Prefix of the name that the user wrote.
        prefix: String,
        /// Prefix of the signed name in its place.
        signed_prefix: String,
    },
}

impl Default for SignedIdentity {
    fn default() -> SignedIdentity {
        SignedIdentity::MatchRepoDigestOrExact {}
    }
}

/// The name of an image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Host and repository.
    pub repository: String,
    pin: Option<Pin>,
}

impl Name {
    /// Returns the name of a reference to a registry; `None` for files, which have none.
    pub fn of(reference: &Reference) -> Option<Name> {
        let Reference::Registry { host, repository, pin } = reference else { return None };
        // cosign writes Docker Hub's former name.
        let host = if host == "index.docker.io" { "docker.io" } else { host };
        Some(Name { repository: format!("{host}/{repository}"), pin: Some(pin.clone()) })
    }

    /// Parses a signed name. A name without a tag has none, as opposed to one that a user writes.
    fn signed(text: &str) -> Option<Name> {
        let mut name = Name::of(&format!("docker://{text}").parse().ok()?)?;
        let last = text.rsplit('/').next().unwrap_or(text);
        if !last.contains([':', '@']) {
            name.pin = None;
        }
        Some(name)
    }

    /// Returns true if this signed name is `wanted`, or in its repository if the user pinned the digest.
    fn is_same_or_pinned(&self, wanted: &Name) -> bool {
        self.repository == wanted.repository && (matches!(wanted.pin, Some(Pin::Digest(_))) || self.pin == wanted.pin)
    }
}

impl SignedIdentity {
    /// Returns true if an image that was signed as `signed` may be used as `wanted`.
    pub fn accepts(&self, signed: &str, wanted: &Name) -> bool {
        let Some(signed) = Name::signed(signed) else { return false };
        let same_repository = signed.repository == wanted.repository;
        match self {
            SignedIdentity::MatchExact {} => signed == *wanted,
            SignedIdentity::MatchRepoDigestOrExact {} => signed.is_same_or_pinned(wanted),
            SignedIdentity::MatchRepository {} => same_repository,
            SignedIdentity::ExactReference { docker_reference } => Name::signed(docker_reference) == Some(signed),
            SignedIdentity::ExactRepository { docker_repository } => {
                Name::signed(docker_repository).is_some_and(|name| name.repository == signed.repository)
            }
            SignedIdentity::RemapIdentity { prefix, signed_prefix } => {
                let repository = replaced(&wanted.repository, prefix, signed_prefix);
                let wanted = Name { repository, pin: wanted.pin.clone() };
                signed.is_same_or_pinned(&wanted)
            }
        }
    }
}

/// Replaces the prefix of a repository, which ends where a component does.
fn replaced(repository: &str, prefix: &str, with: &str) -> String {
    match repository.strip_prefix(prefix) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{with}{rest}"),
        _ => repository.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(identity: &SignedIdentity, signed: &str, wanted: &str) -> bool {
        identity.accepts(signed, &Name::of(&wanted.parse().unwrap()).unwrap())
    }

    #[test]
    fn c17_a_signed_name_is_compared_as_the_policy_says() {
        let digest = format!("h.example/os/debian@sha256:{}", "a".repeat(64));
        let exact = SignedIdentity::MatchExact {};
        assert!(accepts(&exact, "h.example/os/debian:12", "h.example/os/debian:12"));
        assert!(!accepts(&exact, "h.example/os/debian:12", &digest));
        let default = SignedIdentity::default();
        assert!(accepts(&default, "h.example/os/debian:12", &digest));
        assert!(accepts(&default, "h.example/os/debian:12", "h.example/os/debian:12"));
        assert!(!accepts(&default, "h.example/os/debian:11", "h.example/os/debian:12"));
        assert!(!accepts(&default, "h.example/os/debian", "h.example/os/debian:12"));
        let repository = SignedIdentity::MatchRepository {};
        assert!(accepts(&repository, "h.example/os/debian", "h.example/os/debian:12"));
        assert!(accepts(&repository, "index.docker.io/library/debian", "debian:12"));
        assert!(!accepts(&repository, "h.example/os/debian2", "h.example/os/debian:12"));
        assert!(!accepts(&repository, "other.example/os/debian", "h.example/os/debian:12"));
        assert!(!accepts(&repository, "h.example/os/DEBIAN", "h.example/os/debian:12"));
    }

    #[test]
    fn a_mirror_of_signed_images_is_remapped() {
        let remap: SignedIdentity =
            serde_json::from_str(r#"{"type":"remapIdentity","prefix":"mirror.example","signedPrefix":"h.example/os"}"#)
                .unwrap();
        assert!(accepts(&remap, "h.example/os/debian:12", "mirror.example/debian:12"));
        assert!(!accepts(&remap, "mirror.example/debian:12", "mirror.example/debian:12"));
        assert!(serde_json::from_str::<SignedIdentity>(r#"{"type":"matchExact","more":1}"#).is_err());
        assert!(serde_json::from_str::<SignedIdentity>(r#"{"type":"matchAnything"}"#).is_err());
    }
}
