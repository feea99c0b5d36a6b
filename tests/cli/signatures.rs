//! Signatures: images of a real registry, signed by openssl and by skopeo in the forms of cosign.

use crate::cli::images;
use crate::support::program::{Run, command, ended};
use crate::support::push::Repository;
use crate::support::registry::{Fault, Registry};
use crate::support::signing::{BUNDLE, KeyPair, bundle_manifest, referrers};
use crate::support::upstream::Upstream;
use flipslot::words::digest::Digest;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The error of an image that was accepted and fetched, and has no kernel.
const FETCHED: [&str; 1] = ["it has no kernel"];
/// The predicate of cosign's signatures.
const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

fn create(folder: &Path, reference: &str, more: &[&str]) -> Run {
    let slot = format!("--slot=a={reference}");
    let create = ["create", "d.raw", "--size=600MiB", "--progress=none", "--no-cache", &slot];
    ended(&mut command(folder, &[&create[..], more].concat()))
}

/// A real registry with an image under two names, and what is needed to sign it.
struct Signing {
    upstream: Upstream,
    key: KeyPair,
    digest: String,
}

impl Signing {
    fn start() -> Signing {
        let upstream = Upstream::start();
        images::no_kernel().write(&upstream.folder.path().join("image"), "1");
        for name in ["os/debian:12", "os/debian:11", "os/other:12"] {
            upstream.push(&upstream.folder.path().join("image"), name);
        }
        let key = KeyPair::p256(upstream.folder.path(), "cosign");
        let digest = Repository { host: &upstream.address, name: "os/debian" }.digest("12");
        Signing { upstream, key, digest }
    }

    fn repository(&self) -> Repository<'_> {
        Repository { host: &self.upstream.address, name: "os/debian" }
    }

    /// Name of the image, without a tag.
    fn name(&self) -> String {
        format!("{}/os/debian", self.upstream.address)
    }

    /// Creates a disk from `name` with the key.
    fn create_with_key(&self, name: &str) -> Run {
        let key = format!("--verify-key={}", self.key.public());
        self.create(name, &[&key])
    }

    fn create(&self, name: &str, more: &[&str]) -> Run {
        create(self.upstream.folder.path(), &format!("docker://{}/{name}", self.upstream.address), more)
    }

    /// Writes a policy with these requirements for the registry, and `reject` for all others.
    fn policy(&self, requirement: &Value) -> String {
        let path = self.upstream.folder.path().join("policy.json");
        let policy = json!({
            "default": [{ "type": "reject" }],
            "transports": { "docker": { &self.upstream.address: [requirement] } },
        });
        fs::write(&path, policy.to_string()).unwrap();
        format!("--policy={}", path.display())
    }
}

#[test]
fn c16_an_image_without_a_signature_is_refused_where_one_is_required() {
    let signing = Signing::start();
    signing.create_with_key("os/debian:12").must_end(3, &["must be signed with", "it has no signature", "cosign sign"]);
    signing.create("os/debian:12", &[]).must_end(1, &FETCHED);
    let local = format!("oci:{}:1", signing.upstream.folder.path().join("image").display());
    let key = format!("--verify-key={}", signing.key.public());
    create(signing.upstream.folder.path(), &local, &[&key]).must_end(3, &["reads those of registries alone"]);
    signing.create("os/debian:12", &["--verify-key=none.pub"]).must_end(3, &["cannot read the public key none.pub"]);
}

#[test]
fn c17_a_signature_is_bound_to_its_key_its_digest_and_its_repository() {
    let signing = Signing::start();
    let stranger = KeyPair::p256(signing.upstream.folder.path(), "stranger");
    let (repository, name, digest) = (signing.repository(), signing.name(), &signing.digest);
    stranger.sign_as_tag(&repository, digest, &name, digest);
    signing.create_with_key("os/debian:12").must_end(3, &["none was made with that key"]);

    signing.key.sign_as_tag(&repository, digest, &name, &Digest::of(b"another").to_string());
    signing.create_with_key("os/debian:12").must_end(3, &["its signature is for another image"]);

    signing.key.sign_as_tag(&repository, digest, "h.example/os/debian", digest);
    signing.create_with_key("os/debian:12").must_end(3, &["signed under the name h.example/os/debian"]);

    signing.key.sign_as_tag(&repository, digest, &name, digest);
    signing.create_with_key("os/debian:12").must_end(1, &FETCHED);
    signing.create_with_key(&format!("os/debian@{digest}")).must_end(1, &FETCHED);
    // The same image elsewhere, with the signature that was copied along.
    let elsewhere = Repository { host: &signing.upstream.address, name: "os/other" };
    signing.key.sign_as_tag(&elsewhere, digest, &name, digest);
    signing.create_with_key("os/other:12").must_end(3, &["signed under the name", "os/debian"]);
}

#[test]
fn every_kind_of_key_that_cosign_knows_verifies() {
    let signing = Signing::start();
    let kinds: [(&str, &[&str]); 4] = [
        ("p256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        ("p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
        ("ed25519", &["-algorithm", "ED25519"]),
        ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
    ];
    for (kind, options) in kinds {
        let key = KeyPair::generate(signing.upstream.folder.path(), kind, options);
        key.sign_as_tag(&signing.repository(), &signing.digest, &signing.name(), &signing.digest);
        let flag = format!("--verify-key={}", key.public());
        signing.create("os/debian:12", &[&flag]).must_end(1, &FETCHED);
    }
    signing.create_with_key("os/debian:12").must_end(3, &["none was made with that key"]);
}

#[test]
fn a_policy_says_which_names_need_which_signatures() {
    let signing = Signing::start();
    let name = signing.name();
    signing.key.sign_as_tag(&signing.repository(), &signing.digest, &format!("{name}:12"), &signing.digest);
    let signed = json!({ "type": "sigstoreSigned", "keyPath": signing.key.public() });
    signing.create("os/debian:12", &[&signing.policy(&signed)]).must_end(1, &FETCHED);
    // The signature names the tag 12.
    signing.create("os/debian:11", &[&signing.policy(&signed)]).must_end(3, &["signed under the name", ":12"]);
    let by_repository = json!({
        "type": "sigstoreSigned",
        "keyPath": signing.key.public(),
        "signedIdentity": { "type": "matchRepository" },
    });
    signing.create("os/debian:11", &[&signing.policy(&by_repository)]).must_end(1, &FETCHED);
    let policy = signing.policy(&json!({ "type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k" }));
    signing.create("os/debian:12", &[&policy]).must_end(3, &["OpenPGP", "sigstoreSigned"]);
    signing
        .create("os/debian:12", &[&signing.policy(&json!({ "type": "reject" }))])
        .must_end(3, &["rejects docker://"]);
    let accepts = signing.policy(&json!({ "type": "insecureAcceptAnything" }));
    signing.create("os/debian:12", &[&accepts]).must_end(1, &FETCHED);
    let local = format!("oci:{}:1", signing.upstream.folder.path().join("image").display());
    create(signing.upstream.folder.path(), &local, &[&accepts]).must_end(3, &["rejects oci:"]);
    // Both the policy and the key must be met.
    let stranger = KeyPair::p256(signing.upstream.folder.path(), "stranger");
    let key = format!("--verify-key={}", stranger.public());
    signing.create("os/debian:12", &[&accepts, &key]).must_end(3, &["none was made with that key"]);
}

#[test]
fn the_policy_of_the_user_is_read_and_one_that_is_damaged_refuses_everything() {
    let signing = Signing::start();
    let folder = signing.upstream.folder.path().join(".config/containers"); // the tests' home is the folder
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("policy.json"), r#"{"default":[{"type":"reject"}]}"#).unwrap();
    signing.create("os/debian:12", &[]).must_end(3, &["policy.json rejects"]);
    fs::write(folder.join("policy.json"), r#"{"default":[{"type":"acceptAnything"}]}"#).unwrap();
    signing.create("os/debian:12", &[]).must_end(3, &["cannot read the policy", "unknown requirement"]);
}

/// Pushes a bundle in the tag in which registries without a referrers API list it.
fn attach_bundle(repository: &Repository, digest: &str, bundle: &[u8]) {
    let subject = json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1 });
    let empty = repository.blob("application/vnd.oci.empty.v1+json", b"{}");
    let manifest = bundle_manifest(&repository.blob(BUNDLE, bundle), &empty, &subject);
    let listed = repository.manifest(None, &manifest);
    repository.manifest(Some(&digest.replace(':', "-")), &referrers(&listed));
}

#[test]
fn a_bundle_is_bound_to_its_digest_and_to_what_it_says() {
    let signing = Signing::start();
    let (repository, digest, name) = (signing.repository(), &signing.digest, signing.name());
    let attach = |bundle: &[u8]| attach_bundle(&repository, digest, bundle);
    attach(&signing.key.bundle(SIGN, digest, None));
    signing.create_with_key("os/debian:12").must_end(1, &FETCHED);
    attach(&signing.key.bundle(SIGN, digest, Some(&name)));
    signing.create_with_key("os/debian:12").must_end(1, &FETCHED);

    attach(&signing.key.bundle(SIGN, digest, Some("h.example/os/debian")));
    signing.create_with_key("os/debian:12").must_end(3, &["signed under the name h.example/os/debian"]);
    attach(&signing.key.bundle(SIGN, &Digest::of(b"another").to_string(), None));
    signing.create_with_key("os/debian:12").must_end(3, &["is for another image"]);
    // A list of vulnerabilities is signed with the same key, and approves of nothing.
    attach(&signing.key.bundle("https://cosign.sigstore.dev/attestation/vuln/v1", digest, None));
    signing.create_with_key("os/debian:12").must_end(3, &["none was made with that key"]);
    let mut damaged: Value = serde_json::from_slice(&signing.key.bundle(SIGN, digest, None)).unwrap();
    damaged["dsseEnvelope"]["payloadType"] = json!("text/plain");
    attach(damaged.to_string().as_bytes());
    signing.create_with_key("os/debian:12").must_end(3, &["none was made with that key"]);
}

#[test]
fn a_bundle_that_names_no_image_does_not_meet_a_policy() {
    let signing = Signing::start();
    let requirement = json!({
        "type": "sigstoreSigned",
        "keyPath": signing.key.public(),
        "signedIdentity": { "type": "matchRepository" },
    });
    attach_bundle(&signing.repository(), &signing.digest, &signing.key.bundle(SIGN, &signing.digest, None));
    let policy = signing.policy(&requirement);
    signing.create("os/debian:12", &[&policy]).must_end(3, &["a bundle, which names no image"]);
}

#[test]
fn bundles_are_found_by_the_referrers_api() {
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("image");
    images::no_kernel().write(&layout, "1");
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let image = &index["manifests"][0];
    let key = KeyPair::p256(folder.path(), "cosign");
    let put = |bytes: &[u8], media_type: &str| {
        let digest = Digest::of(bytes);
        fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    };
    let bundle = put(&key.bundle(SIGN, image["digest"].as_str().unwrap(), None), BUNDLE);
    let manifest = bundle_manifest(&bundle, &put(b"{}", "application/vnd.oci.empty.v1+json"), image);
    let listed = put(manifest.to_string().as_bytes(), "application/vnd.oci.image.manifest.v1+json");
    let registry = Registry::start(&layout, Fault::None);
    let run = || {
        let key = format!("--verify-key={}", key.public());
        create(folder.path(), &format!("docker://{}/x/y:1", registry.address), &[&key])
    };
    run().must_end(3, &["it has no signature"]);
    fs::write(layout.join("referrers.json"), referrers(&listed).to_string()).unwrap();
    run().must_end(1, &FETCHED);
    let requests = Arc::clone(&registry.requests);
    let requests = requests.lock().unwrap();
    let before_layers = |path: &str| requests.iter().rposition(|request| request.contains(path)).unwrap();
    assert!(before_layers("/referrers/") < before_layers("/blobs/"), "{requests:?}");
}

/// Runs the skopeo of Debian 13 in a tree of its own, where `folder` is `/tmp`; returns its exit code.
#[allow(clippy::disallowed_methods)] // tests start programs by themselves
fn skopeo_13(folder: &Path, words: &[&str]) -> i32 {
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/skopeo-13.sh");
    let tree = ended(std::process::Command::new(recipe).env_remove("TMPDIR"));
    assert_eq!(tree.code, 0, "{}", tree.stderr);
    // The mount is the process's own, and ends with it.
    let script = "mount --bind \"$1\" \"$2/tmp\" && shift && exec chroot \"$@\"";
    let arguments = ["--mount", "sh", "-c", script, "sh", &folder.to_string_lossy(), tree.stdout.trim(), "skopeo"];
    let run = ended(std::process::Command::new("unshare").args(arguments).args(words).env_remove("TMPDIR"));
    eprintln!("skopeo {words:?}: {}{}", run.stdout, run.stderr);
    run.code
}

#[test]
fn what_skopeo_signs_is_accepted_and_it_accepts_the_same() {
    let signing = Signing::start();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cosign");
    let folder = signing.upstream.folder.path();
    for name in ["cosign.key", "cosign.pub", "passphrase"] {
        fs::copy(fixtures.join(name), folder.join(name)).unwrap();
    }
    fs::create_dir(folder.join("registries.d")).unwrap();
    fs::write(folder.join("registries.d/x.yaml"), "default-docker:\n  use-sigstore-attachments: true\n").unwrap();
    let image = |tag: &str| format!("docker://{}/os/debian:{tag}", signing.upstream.address);
    let global = ["--insecure-policy", "--registries.d=/tmp/registries.d", "copy", "-q", "--dest-tls-verify=false"];
    let sign = ["--preserve-digests", "--sign-by-sigstore-private-key=/tmp/cosign.key"];
    let from = ["--sign-passphrase-file=/tmp/passphrase", "oci:/tmp/image:1", &image("12")];
    assert_eq!(skopeo_13(folder, &[&global[..], &sign, &from].concat()), 0);

    let public = fixtures.join("cosign.pub");
    let policy = signing.policy(&json!({ "type": "sigstoreSigned", "keyPath": public }));
    signing.create("os/debian:12", &[&policy]).must_end(1, &FETCHED);
    signing.create("os/debian:12", &[&format!("--verify-key={}", public.display())]).must_end(1, &FETCHED);
    signing.create("os/debian:11", &[&policy]).must_end(3, &["signed under the name"]);
    // It says the same of both tags, by the same policy.
    signing.policy(&json!({ "type": "sigstoreSigned", "keyPath": "/tmp/cosign.pub" }));
    let ask = |tag: &str| {
        let global = ["--policy=/tmp/policy.json", "--registries.d=/tmp/registries.d", "copy", "-q"];
        let (from, to) = (image(tag), format!("dir:/tmp/copy-{tag}"));
        skopeo_13(folder, &[&global[..], &["--src-tls-verify=false", &from, &to]].concat())
    };
    assert_eq!((ask("12"), ask("11")), (0, 1));
}
