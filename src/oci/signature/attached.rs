//! Signatures as a registry keeps them beside an image, unverified.

use serde::{Deserialize, Serialize};

/// The media type of a signature's payload in the tag `sha256-….sig` (cosign, "Signature specification").
pub const SIMPLE_SIGNING_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of its descriptor that holds the signature, in base64.
pub const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// The media types of bundles start with this (sigstore bundle format); a version follows.
pub const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle";
/// The largest payload or bundle that is read, in bytes: real ones have 300 bytes, and 2 to 8 KB.
pub const ATTACHED_MAX: u64 = 256 * 1024;
/// The most signatures of one image that are looked at.
pub const COUNT_MAX: usize = 50;

/// A signature that is attached to an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attached {
    /// A payload of containers-signature(5), and its signature in base64.
    SimpleSigning {
        /// The signed bytes.
        payload: Vec<u8>,
        /// The signature, in base64.
        signature: String,
    },
    /// A sigstore bundle (JSON).
    Bundle(Vec<u8>),
}
