//! Signatures made with openssl, in the forms that cosign attaches to images.

use crate::support::program::tool;
use crate::support::push::Repository;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// A key pair in files.
pub struct KeyPair {
    folder: PathBuf,
    name: String,
}

impl KeyPair {
    /// Makes a key with `openssl genpkey` and these options.
    pub fn generate(folder: &Path, name: &str, options: &[&str]) -> KeyPair {
        let pair = KeyPair { folder: folder.to_owned(), name: name.to_owned() };
        tool("openssl", &[&["genpkey", "-out", &pair.file("key")], options].concat());
        tool("openssl", &["pkey", "-in", &pair.file("key"), "-pubout", "-out", &pair.public()]);
        pair
    }

    /// Makes a key of the kind that cosign makes.
    pub fn p256(folder: &Path, name: &str) -> KeyPair {
        KeyPair::generate(folder, name, &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
    }

    /// Path of the public key.
    pub fn public(&self) -> String {
        self.file("pub")
    }

    fn file(&self, end: &str) -> String {
        self.folder.join(format!("{}.{end}", self.name)).to_string_lossy().into_owned()
    }

    /// Signs the SHA-256 of a message, or for Ed25519 the message; returns base64.
    pub fn sign(&self, message: &[u8]) -> String {
        let (input, output) = (self.file("message"), self.file("signature"));
        fs::write(&input, message).unwrap();
        let is_ed25519 = tool("openssl", &["pkey", "-in", &self.file("key"), "-noout", "-text"]).contains("ED25519");
        let hash: &[&str] = if is_ed25519 { &["-rawin"] } else { &["-rawin", "-digest", "sha256"] };
        let sign = ["pkeyutl", "-sign", "-inkey", &self.file("key"), "-in", &input, "-out", &output];
        tool("openssl", &[&sign[..], hash].concat());
        STANDARD.encode(fs::read(output).unwrap())
    }

    /// Attaches a signature as the tag `sha256-….sig`, in which `digest` is said to be `name`.
    pub fn sign_as_tag(&self, repository: &Repository, digest: &str, name: &str, signed_digest: &str) {
        let payload = json!({ "critical": {
            "identity": { "docker-reference": name },
            "image": { "docker-manifest-digest": signed_digest },
            "type": "cosign container image signature",
        }, "optional": null });
        let payload = serde_json::to_vec(&payload).unwrap();
        let mut layer = repository.blob("application/vnd.dev.cosign.simplesigning.v1+json", &payload);
        layer["annotations"] = json!({ "dev.cosignproject.cosign/signature": self.sign(&payload) });
        let config = repository.blob("application/vnd.oci.image.config.v1+json", b"{}");
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({ "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer] });
        repository.manifest(Some(&format!("{}.sig", digest.replace(':', "-"))), &manifest);
    }

    /// Returns a sigstore bundle, version 0.3, with a statement of `predicate` about `digest`.
    pub fn bundle(&self, predicate: &str, digest: &str, name: Option<&str>) -> Vec<u8> {
        let mut subject = json!({ "digest": { "sha256": digest.trim_start_matches("sha256:") } });
        if let Some(name) = name {
            subject["name"] = json!(name);
        }
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [subject],
            "predicateType": predicate,
            "predicate": {},
        });
        let payload = serde_json::to_vec(&statement).unwrap();
        let kind = "application/vnd.in-toto+json";
        let signed = [format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).as_bytes(), &payload].concat();
        let bundle = json!({
            "mediaType": BUNDLE,
            "verificationMaterial": { "publicKey": { "hint": "" }, "tlogEntries": [] },
            "dsseEnvelope": {
                "payload": STANDARD.encode(&payload),
                "payloadType": kind,
                "signatures": [{ "sig": self.sign(&signed) }],
            },
        });
        serde_json::to_vec(&bundle).unwrap()
    }
}

/// Media type of a bundle.
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Returns the manifest that attaches `bundle` to `subject`, a descriptor.
pub fn bundle_manifest(bundle: &Value, empty: &Value, subject: &Value) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": BUNDLE,
        "config": empty,
        "layers": [bundle],
        "subject": subject,
    })
}

/// Returns the index that lists `manifest` as a referrer.
pub fn referrers(manifest: &Value) -> Value {
    let mut listed = manifest.clone();
    listed["artifactType"] = json!(BUNDLE);
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [listed],
    })
}
