//! Public keys, and signatures made with their private halves. The only file that names the cryptographic library.

use crate::error::{Result, refused};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    VerificationAlgorithm,
};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use std::path::Path;

/// A public key, and the name by which it is shown.
pub struct Key {
    /// The file that holds it, or its place in a policy.
    pub name: String,
    key: ParsedPublicKey,
}

impl Key {
    /// Reads a PEM file (`BEGIN PUBLIC KEY`), such as cosign.pub.
    pub fn read(path: &Path) -> Result<Key> {
        let name = path.display().to_string();
        let pem = std::fs::read(path).map_err(|error| {
            refused(format!("cannot read the public key {name}: {error}"), "name a file that exists")
        })?;
        Key::parse(name, &pem)
    }

    /// Parses PEM text.
    pub fn parse(name: String, pem: &[u8]) -> Result<Key> {
        let spki = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok();
        let key = spki.and_then(|spki| {
            algorithms().into_iter().find_map(|algorithm| ParsedPublicKey::new(algorithm, &spki).ok())
        });
        let key = key.ok_or_else(|| {
            let found = format!("{name} holds no public key that flipslot knows: ECDSA P-256 or P-384, Ed25519, RSA");
            refused(found, "give the public half as PEM: cosign public-key --key cosign.key > cosign.pub")
        })?;
        Ok(Key { name, key })
    }

    /// Returns true if `signature` was made over `message` with this key.
    pub fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }
}

/// Returns the kinds of keys that cosign makes or imports. All sign the SHA-256 of the payload, but for Ed25519.
fn algorithms() -> [&'static dyn VerificationAlgorithm; 4] {
    [&ECDSA_P256_SHA256_ASN1, &ECDSA_P384_SHA256_ASN1, &ED25519, &RSA_PKCS1_2048_8192_SHA256]
}
