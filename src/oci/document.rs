//! Index, manifest and config: untrusted JSON, read with limits and turned into types.

use crate::error::{Result, failed, refused};
use crate::layer::stream::Compression;
use crate::oci::platform::Platform;
use crate::words::digest::Digest;
use crate::words::units::seconds_of_rfc3339;
use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;

/// The largest document in bytes: the size that registries accept at least (OCI distribution
/// specification, "Pushing Manifests": 4 MiB).
pub const DOCUMENT_MAX: u64 = 4 << 20;
/// The most layers of one image: Linux's overlay, on which images are built, takes 500 (containerd).
const LAYERS_MAX: usize = 1000;

/// Media types of an index (OCI image specification; Docker schema 2).
pub const INDEX_TYPES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
/// Media types of a manifest (OCI image specification; Docker schema 2).
pub const MANIFEST_TYPES: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

/// A document's reference to other content: digest, size and media type.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// Media type of the content; empty if the document gives none.
    #[serde(default)]
    pub media_type: String,
    /// In an index: the platform that the manifest is for.
    platform: Option<PlatformOf>,
    /// The content itself in base64; read only to check that it matches the digest.
    data: Option<String>,
    /// In an index: annotations such as `org.opencontainers.image.ref.name`, the image's name.
    #[serde(default)]
    pub annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct PlatformOf {
    architecture: String,
    os: String,
    variant: Option<String>,
}

/// An index or a manifest, distinguished by its content.
#[derive(Debug)]
pub enum Document {
    /// The descriptors that an index lists.
    Index(Vec<Descriptor>),
    /// The manifest of one image.
    Manifest(Manifest),
}

/// One image: its config and its layers, lowest first.
#[derive(Debug)]
pub struct Manifest {
    /// Descriptor of the config blob.
    pub config: Descriptor,
    /// Descriptors of the layer blobs, lowest first.
    pub layers: Vec<Descriptor>,
}

/// The fields of a config blob that matter here.
#[derive(Debug, Deserialize)]
pub struct Config {
    /// Operating system by its GOOS name; only `linux` is accepted.
    pub os: String,
    /// Processor architecture by its GOARCH name.
    pub architecture: String,
    variant: Option<String>,
    rootfs: RootFs,
    created: Option<String>,
}

/// The facts of a config blob that fits its platform and its manifest.
#[derive(Debug, PartialEq, Eq)]
pub struct Described {
    /// Digest of each uncompressed layer, lowest first.
    pub diff_ids: Vec<Digest>,
    /// Time at which the image was made, in seconds since 1970, as whoever made it says.
    pub created: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    diff_ids: Vec<Digest>,
}

/// Parses an index or a manifest. Refuses a document that could be read as both, or as neither: two
/// programs must not see two images in one digest (CVE-2021-41190).
pub fn parse(bytes: &[u8]) -> Result<Document> {
    check_size(bytes)?;
    let value: Value = serde_json::from_slice(bytes).context("reading a manifest as JSON")?;
    let declared = value.get("mediaType").and_then(Value::as_str).unwrap_or_default();
    let has = |key: &str| value.get(key).is_some();
    if value.get("schemaVersion").and_then(Value::as_u64) == Some(1) {
        return Err(refused(
            "the manifest uses Docker schema 1, which has no digests of its content",
            "push the image again with a current tool",
        ));
    }
    match (has("manifests"), has("config") || has("layers")) {
        (true, false) if declared.is_empty() || INDEX_TYPES.contains(&declared) => index(&value).map(Document::Index),
        (false, true) if declared.is_empty() || MANIFEST_TYPES.contains(&declared) => {
            manifest(&value).map(Document::Manifest)
        }
        (true, true) => Err(failed(
            "the document is an index and a manifest at once; one digest must mean one image",
            "push the image again",
        )),
        _ => Err(failed(
            format!("the document is neither an image manifest nor an index (mediaType '{}')", declared.escape_debug()),
            "",
        )),
    }
}

fn index(value: &Value) -> Result<Vec<Descriptor>> {
    let manifests = value["manifests"].as_array().context("reading the manifests of an index")?;
    manifests.iter().map(descriptor).collect::<Result<_>>().context("reading the manifests of an index")
}

/// Parses a descriptor. Embedded content must match its digest and size (OCI image specification,
/// descriptor.md, `data`): otherwise another program would see another image.
fn descriptor(value: &Value) -> Result<Descriptor> {
    let descriptor = Descriptor::deserialize(value)?;
    if let Some(data) = &descriptor.data {
        let content = BASE64_STANDARD.decode(data).ok();
        let fits = content.filter(|data| data.len() as u64 == descriptor.size && descriptor.digest.matches(data));
        fits.ok_or_else(|| {
            let found = format!("the descriptor of {} carries data that does not match its digest", descriptor.digest);
            failed(found, "push the image again")
        })?;
    }
    Ok(descriptor)
}

fn manifest(value: &Value) -> Result<Manifest> {
    let config = descriptor(&value["config"]).context("reading the config descriptor")?;
    let layers = value["layers"].as_array().context("reading the layers of a manifest")?;
    if layers.len() > LAYERS_MAX {
        return Err(failed(
            format!("the manifest has {} layers; at most {LAYERS_MAX} are read", layers.len()),
            "squash the image",
        ));
    }
    let mut descriptors = Vec::new();
    for layer in layers {
        let descriptor = descriptor(layer).context("reading a layer descriptor")?;
        // What may not be distributed may be here all the same; it is never fetched from elsewhere.
        let elsewhere = layer.get("urls").is_some_and(|urls| urls.as_array().is_none_or(|urls| !urls.is_empty()));
        if elsewhere
            && !descriptor.media_type.contains("nondistributable")
            && !descriptor.media_type.contains("foreign")
        {
            let found =
                format!("layer {} must be fetched from elsewhere (urls), which flipslot never does", descriptor.digest);
            return Err(refused(found, "push the image with all its layers"));
        }
        compression(&descriptor)?;
        descriptors.push(descriptor);
    }
    const CONFIGS: [&str; 2] =
        ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
    if !config.media_type.is_empty() && !CONFIGS.contains(&config.media_type.as_str()) {
        let found = format!("the reference names an artifact ('{}'), not an image", config.media_type.escape_debug());
        return Err(refused(found, "name a container image"));
    }
    Ok(Manifest { config, layers: descriptors })
}

/// Parses a config blob, and checks it against the platform and the manifest's number of layers.
pub fn config(bytes: &[u8], platform: &Platform, layers: usize) -> Result<Described> {
    check_size(bytes)?;
    let config: Config = serde_json::from_slice(bytes).context("reading the image's config as JSON")?;
    if !platform.matches(&config.os, &config.architecture, config.variant.as_deref()) {
        let found = format!("the image is for {}/{}, not for {platform}", config.os, config.architecture);
        return Err(refused(found, "name an image for this machine, or choose with --arch"));
    }
    let diff_ids = config.rootfs.diff_ids;
    if diff_ids.len() != layers {
        let found = format!("the manifest has {layers} layers, but the config has {} diff_ids", diff_ids.len());
        return Err(failed(found, "push the image again"));
    }
    Ok(Described { diff_ids, created: config.created.as_deref().and_then(seconds_of_rfc3339) })
}

/// Returns the only manifest of an index that is for `platform`. Refuses several: nothing distinguishes
/// them.
pub fn choose<'d>(descriptors: &'d [Descriptor], platform: &Platform) -> Result<&'d Descriptor> {
    let fits = |descriptor: &&Descriptor| {
        descriptor.platform.as_ref().is_some_and(|p| platform.matches(&p.os, &p.architecture, p.variant.as_deref()))
    };
    let offered = || {
        let names: Vec<String> = descriptors
            .iter()
            .filter_map(|descriptor| descriptor.platform.as_ref())
            .map(|p| format!("{}/{}", p.os, p.architecture))
            .collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let mut fitting = descriptors.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(refused(
            format!("the image is not available for {platform}; it is available for: {}", offered()),
            "choose one of them with --arch",
        )),
        (Some(_), Some(_)) => Err(refused(
            format!("several images of the index are for {platform}: {}", offered()),
            "pin one by its digest: name@sha256:…",
        )),
    }
}

/// Returns a layer's compression, by its media type; refuses types that flipslot does not read.
pub fn compression(layer: &Descriptor) -> Result<Compression> {
    let media_type = layer.media_type.as_str();
    match media_type {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar"
        | "application/vnd.docker.image.rootfs.foreign.diff.tar" => Ok(Compression::Plain),
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip"
        | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Ok(Compression::Gzip),
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd"
        | "application/vnd.docker.image.rootfs.foreign.diff.tar.zstd" => Ok(Compression::Zstd),
        other => Err(refused(
            format!(
                "layer {} has the media type '{}'; flipslot reads tar, tar+gzip and tar+zstd",
                layer.digest,
                other.escape_debug()
            ),
            "push the image with gzip or zstd layers",
        )),
    }
}

fn check_size(bytes: &[u8]) -> Result<()> {
    if bytes.len() as u64 > DOCUMENT_MAX {
        return Err(failed(
            format!("a manifest or config has {} bytes; the limit is 4 MiB", bytes.len()),
            "push the image again",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn layer(extra: &str) -> String {
        format!(r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{DIGEST}","size":3{extra}}}"#)
    }

    fn manifest_of(layers: &[String]) -> String {
        let config =
            format!(r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{DIGEST}","size":3}}"#);
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{}]}}"#, layers.join(","))
    }

    fn config_of(os: &str, architecture: &str, diff_ids: usize) -> String {
        let ids = vec![format!("\"{DIGEST}\""); diff_ids].join(",");
        format!(r#"{{"os":"{os}","architecture":"{architecture}","rootfs":{{"type":"layers","diff_ids":[{ids}]}}}}"#)
    }

    fn amd64() -> Platform {
        "amd64".parse().unwrap()
    }

    #[test]
    fn a_manifest_and_an_index_are_told_apart() {
        assert!(
            matches!(parse(manifest_of(&[layer("")]).as_bytes()).unwrap(), Document::Manifest(m) if m.layers.len() == 1)
        );
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, layer(""));
        assert!(matches!(parse(index.as_bytes()).unwrap(), Document::Index(list) if list.len() == 1));
    }

    #[test]
    fn b7_absurd_documents_are_refused_without_using_their_sizes() {
        assert!(parse(&vec![b' '; 5 << 20]).is_err());
        assert!(parse(manifest_of(&vec![layer(""); 100_000 / 50]).as_bytes()).is_err());
        assert!(parse("[".repeat(10_000).as_bytes()).is_err());
        for size in ["-1", "9223372036854775808000", "1e99"] {
            let odd = manifest_of(&[layer("").replace("\"size\":3", &format!("\"size\":{size}"))]);
            assert!(parse(odd.as_bytes()).is_err(), "{size}");
        }
    }

    #[test]
    fn b8_a_document_that_is_both_is_refused() {
        let both = manifest_of(&[layer("")]).replace("\"schemaVersion\":2", "\"schemaVersion\":2,\"manifests\":[]");
        assert!(format!("{:#}", parse(both.as_bytes()).unwrap_err()).contains("at once"));
        let lies =
            manifest_of(&[layer("")]).replace("\"schemaVersion\":2", &format!("\"mediaType\":\"{}\"", INDEX_TYPES[0]));
        assert!(parse(lies.as_bytes()).is_err());
    }

    #[test]
    fn b10_no_or_several_fitting_platforms_list_what_there_is() {
        let of =
            |architecture: &str| layer(&format!(r#","platform":{{"os":"linux","architecture":"{architecture}"}}"#));
        let index = |all: &[&str]| match parse(
            format!(r#"{{"manifests":[{}]}}"#, all.iter().map(|a| of(a)).collect::<Vec<_>>().join(",")).as_bytes(),
        )
        .unwrap()
        {
            Document::Index(list) => list,
            Document::Manifest(_) => panic!("an index"),
        };
        assert!(choose(&index(&["arm64", "amd64"]), &amd64()).is_ok());
        let none = format!("{:#}", choose(&index(&["arm64", "s390x"]), &amd64()).unwrap_err());
        assert!(none.contains("linux/arm64, linux/s390x"), "{none}");
        assert!(choose(&index(&["amd64", "amd64"]), &amd64()).is_err());
    }

    #[test]
    fn b11_b13_the_config_must_be_for_this_platform_and_these_layers() {
        assert_eq!(config(config_of("linux", "amd64", 2).as_bytes(), &amd64(), 2).unwrap().diff_ids.len(), 2);
        for (os, architecture, diff_ids) in [("windows", "amd64", 2), ("linux", "arm64", 2), ("linux", "amd64", 1)] {
            assert!(config(config_of(os, architecture, diff_ids).as_bytes(), &amd64(), 2).is_err());
        }
        let artifact = manifest_of(&[])
            .replace("application/vnd.oci.image.config.v1+json", "application/vnd.cncf.helm.config.v1+json");
        assert!(parse(artifact.as_bytes()).is_err());
    }

    #[test]
    fn b14_embedded_data_must_be_what_the_digest_says() {
        // "abc" in base64, and something else of the same length.
        let of = |data: &str| manifest_of(&[layer(&format!(r#","data":"{data}""#))]);
        assert!(parse(of("YWJj").as_bytes()).is_ok());
        for wrong in ["YWJk", "YWJjZA==", "no base64"] {
            assert!(format!("{:#}", parse(of(wrong).as_bytes()).unwrap_err()).contains("carries data"), "{wrong}");
        }
    }

    #[test]
    fn b16_schema_1_and_foreign_layers_are_refused() {
        assert!(parse(br#"{"schemaVersion":1,"fsLayers":[]}"#).is_err());
        let foreign = layer(r#","urls":["https://elsewhere.example/layer"]"#);
        assert!(
            format!("{:#}", parse(manifest_of(std::slice::from_ref(&foreign)).as_bytes()).unwrap_err())
                .contains("urls")
        );
        let marked = foreign.replace("image.layer.v1", "image.layer.nondistributable.v1");
        assert!(parse(manifest_of(&[marked]).as_bytes()).is_ok());
    }

    #[test]
    fn b6_layers_of_other_compressions_are_refused() {
        for other in ["application/vnd.oci.image.layer.v1.tar+xz", "application/x-bzip2", ""] {
            let odd = layer("").replace("application/vnd.oci.image.layer.v1.tar", other);
            assert!(parse(manifest_of(&[odd]).as_bytes()).is_err(), "{other}");
        }
    }
}
