//! Sigstore bundles, as cosign attaches them since version 3: an in-toto statement in a DSSE envelope.

use crate::oci::signature::key::Key;
use crate::oci::signature::simple_signing::Claim;
use crate::words::digest::Digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Media type of an in-toto statement in an envelope.
const STATEMENT: &str = "application/vnd.in-toto+json";
/// The predicate that cosign writes to sign an image. Others (provenance, a list of vulnerabilities) name an image,
/// too, and say nothing of who may boot it.
const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// The part of a bundle that holds the signature; certificates and logs are not looked at: keys are.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    dsse_envelope: Envelope,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    predicate_type: String,
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    name: String,
    digest: BTreeMap<String, String>,
}

/// A bundle that was taken apart, and not verified.
pub struct Opened {
    message: Vec<u8>,
    signatures: Vec<Vec<u8>>,
    payload: Vec<u8>,
}

impl Opened {
    /// Takes a bundle apart; `None` if it does not hold a statement.
    pub fn of(bundle: &[u8]) -> Option<Opened> {
        let Bundle { dsse_envelope: envelope } = serde_json::from_slice(bundle).ok()?;
        let Envelope { payload, payload_type, signatures } = envelope;
        let payload = STANDARD.decode(&payload).ok().filter(|_| payload_type == STATEMENT)?;
        let signatures = signatures.iter().filter_map(|signature| STANDARD.decode(&signature.sig).ok()).collect();
        Some(Opened { message: pre_authentication(&payload_type, &payload), signatures, payload })
    }

    /// Returns what the statement claims; `None` if it does not sign an image.
    pub fn claims(&self) -> Option<Vec<Claim>> {
        let statement: Statement = serde_json::from_slice(&self.payload).ok()?;
        if statement.predicate_type != SIGN {
            return None;
        }
        let claim = |subject: Subject| {
            let digest = Digest::parse(&format!("sha256:{}", subject.digest.get("sha256")?)).ok()?;
            Some(Claim { digest, name: Some(subject.name).filter(|name| !name.is_empty()) })
        };
        Some(statement.subject.into_iter().filter_map(claim).collect())
    }
}

/// Returns the claims of a bundle that was signed with `key`; none if it was not, or does not sign an image.
pub fn claims(bundle: &[u8], key: &Key) -> Vec<Claim> {
    let opened = Opened::of(bundle).filter(|opened| opened.signatures.iter().any(|by| key.signed(&opened.message, by)));
    opened.and_then(|opened| opened.claims()).unwrap_or_default()
}

/// Builds the bytes that an envelope's signature is made over (DSSE protocol, "PAE").
fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}
