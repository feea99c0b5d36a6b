//! The rules for signatures: the system's policy, and the keys of the command line. An image must meet both.

use crate::error::{Result, refused};
use crate::oci::reference::Reference;
use crate::oci::signature::attached::Attached;
use crate::oci::signature::bundle;
use crate::oci::signature::identity::{Name, SignedIdentity};
use crate::oci::signature::key::Key;
use crate::oci::signature::policy_json::{KeySource, PolicyJson, Requirement};
use crate::oci::signature::simple_signing::{self, Claim};
use crate::oci::signature::verdict::Verdict;
use crate::words::digest::Digest;
use crate::words::printable::plain;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::path::PathBuf;

/// The most bytes of a signed name that a message shows.
const SHOWN_MAX: usize = 200;

/// The options that say which signatures an image must have.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Public keys (PEM files): every image must be signed with one of them.
    pub keys: Vec<PathBuf>,
    /// A policy to use in place of the system's.
    pub policy: Option<PathBuf>,
}

/// The signatures that one image must have.
pub struct Demand {
    wanted: Reference,
    signatures: Vec<Signed>,
    policy: String,
}

/// A signature by one of several keys, for a name.
struct Signed {
    keys: Vec<Key>,
    identity: SignedIdentity,
    /// Treatment of a signature that is bound to a digest and names no image.
    unnamed: Unnamed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unnamed {
    Accept,
    Reject,
}

impl Rules {
    /// Returns the signatures that the image must have. Refuses one that the policy rejects whatever its signatures.
    pub fn demand(&self, reference: &Reference) -> Result<Demand> {
        let found = PolicyJson::find(self.policy.as_deref())?;
        let mut signatures = Vec::new();
        let (name, requirements) = match &found {
            None => ("none".to_owned(), &[][..]),
            Some((file, policy)) => (file.display().to_string(), policy.requirements(reference)),
        };
        if found.is_some() && requirements.is_empty() {
            let text = format!("the policy {name} lists no requirement for {reference}, and so accepts nothing");
            return Err(refused(text, "add one: man containers-policy.json"));
        }
        for requirement in requirements {
            signatures.extend(signed(requirement, reference, &name)?);
        }
        if !self.keys.is_empty() {
            let keys = self.keys.iter().map(|path| Key::read(path)).collect::<Result<_>>()?;
            signatures.push(Signed { keys, identity: SignedIdentity::MatchRepository {}, unnamed: Unnamed::Accept });
        }
        Ok(Demand { wanted: reference.clone(), signatures, policy: name })
    }
}

fn signed(requirement: &Requirement, reference: &Reference, policy: &str) -> Result<Option<Signed>> {
    let (keys, identity) = match requirement {
        Requirement::Accept => return Ok(None),
        Requirement::Reject => {
            let found = format!("the policy {policy} rejects {reference}");
            return Err(refused(found, "name an image that it accepts, or change the policy"));
        }
        Requirement::SignedBy => {
            let found = format!(
                "the policy {policy} wants OpenPGP signatures (signedBy) of {reference}, which flipslot does not verify"
            );
            return Err(refused(found, "sign with cosign or skopeo, and require sigstoreSigned with a key"));
        }
        Requirement::SigstoreSigned { keys, identity } => (keys, identity.clone()),
    };
    let read = |source: &KeySource| match source {
        KeySource::File(path) => Key::read(path),
        KeySource::Data(data) => {
            Key::parse(format!("a key of {policy}"), &STANDARD.decode(data.as_bytes()).unwrap_or_default())
        }
    };
    let keys = keys.iter().map(read).collect::<Result<_>>()?;
    Ok(Some(Signed { keys, identity, unnamed: Unnamed::Reject }))
}

impl Demand {
    /// Judges an image by its signatures. `digests` are those of its manifest and of the index that lists it: a
    /// signature of either is one of the image. `attached` is called only if a signature is required.
    pub fn judge(&self, digests: &[Digest], attached: impl FnOnce() -> Result<Vec<Attached>>) -> Result<Verdict> {
        let unverified = Verdict { verified: false, keys: Vec::new(), policy: self.policy.clone() };
        if self.signatures.is_empty() {
            return Ok(unverified);
        }
        let Some(name) = Name::of(&self.wanted) else {
            let found =
                format!("a signature of {} is required, and flipslot reads those of registries alone", self.wanted);
            return Err(refused(found, "push the image to a registry, sign it there, and name it there"));
        };
        let attached = attached()?;
        let mut keys = Vec::new();
        for signed in &self.signatures {
            keys.push(signed.by(&attached, digests, &name).map_err(|why| self.refusal(signed, &why, digests))?);
        }
        Ok(Verdict { verified: true, keys, ..unverified })
    }

    fn refusal(&self, signed: &Signed, why: &str, digests: &[Digest]) -> anyhow::Error {
        let keys: Vec<&str> = signed.keys.iter().map(|key| key.name.as_str()).collect();
        let found = format!("{} must be signed with {}: {why}", self.wanted, keys.join(" or "));
        let digest = digests.first().map(ToString::to_string).unwrap_or_default();
        let repository = Name::of(&self.wanted).map(|name| name.repository).unwrap_or_default();
        refused(found, format!("if you trust it: cosign sign --key cosign.key {repository}@{digest}"))
    }
}

impl Signed {
    /// Returns the name of the key that signed the image; or else the reason that comes nearest to it.
    fn by(&self, attached: &[Attached], digests: &[Digest], wanted: &Name) -> Result<String, String> {
        if attached.is_empty() {
            return Err("it has no signature".to_owned());
        }
        let mut nearest = format!("it has {} signatures, and none was made with that key", attached.len());
        for key in &self.keys {
            for claim in attached.iter().flat_map(|attached| claims(attached, key)) {
                if !digests.contains(&claim.digest) {
                    nearest = format!("its signature is for another image, {}", claim.digest);
                    continue;
                }
                match &claim.name {
                    Some(name) if self.identity.accepts(name, wanted) => return Ok(key.name.clone()),
                    None if self.unnamed == Unnamed::Accept => return Ok(key.name.clone()),
                    Some(name) => nearest = format!("it was signed under the name {}", plain(name, SHOWN_MAX)),
                    None => nearest = "its signature is a bundle, which names no image, as the policy wants".to_owned(),
                }
            }
        }
        Err(nearest)
    }
}

/// Returns what an attached signature claims, if `key` made it.
fn claims(attached: &Attached, key: &Key) -> Vec<Claim> {
    match attached {
        Attached::Bundle(bundle) => bundle::claims(bundle, key),
        Attached::SimpleSigning { payload, signature } => {
            let signature = STANDARD.decode(signature.trim()).unwrap_or_default();
            let is_signed = key.signed(payload, &signature);
            is_signed.then(|| simple_signing::claim(payload)).flatten().into_iter().collect()
        }
    }
}
