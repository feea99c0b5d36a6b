//! OCI image layouts (OCI image specification, image-layout.md), whole or tampered with.

use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use flipslot::words::digest::Digest;
use serde_json::{Value, json};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// How a layer's blob is stored.
#[derive(Clone, Copy)]
pub enum Packing {
    Plain,
    Gzip,
    /// umoci reads it only from version 0.5 on.
    Zstd,
}

impl Packing {
    fn media_type(self) -> &'static str {
        match self {
            Packing::Plain => "application/vnd.oci.image.layer.v1.tar",
            Packing::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Packing::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    fn pack(self, tar: &[u8]) -> Vec<u8> {
        match self {
            Packing::Plain => tar.to_vec(),
            Packing::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(tar).unwrap();
                encoder.finish().unwrap()
            }
            Packing::Zstd => zstd::encode_all(tar, 1).unwrap(),
        }
    }
}

/// An image for linux/amd64 that is not written yet. A test may change `config` and `manifest`;
/// [`ImageLayout::write`] makes every digest fit what they then say.
pub struct ImageLayout {
    /// The config blob.
    pub config: Value,
    /// The manifest; its `config` descriptor is filled in when it is written.
    pub manifest: Value,
    blobs: Vec<Vec<u8>>,
    /// Blobs of another layout that this one has, too.
    shared: Vec<PathBuf>,
}

impl ImageLayout {
    /// An image of these uncompressed layers, lowest first.
    pub fn new(layers: &[(Packing, Vec<u8>)]) -> ImageLayout {
        let blobs: Vec<Vec<u8>> = layers.iter().map(|(packing, tar)| packing.pack(tar)).collect();
        let diff_ids: Vec<String> = layers.iter().map(|(_, tar)| Digest::of(tar).to_string()).collect();
        let descriptors: Vec<Value> =
            layers.iter().zip(&blobs).map(|((packing, _), blob)| descriptor(packing.media_type(), blob)).collect();
        ImageLayout {
            config: json!({
                "architecture": "amd64",
                "os": "linux",
                "config": {},
                "rootfs": { "type": "layers", "diff_ids": diff_ids },
            }),
            manifest: json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {},
                "layers": descriptors,
            }),
            blobs,
            shared: Vec::new(),
        }
    }

    /// The one image of the layout in `base`, with more layers on top.
    pub fn over(base: &Path, layers: &[Vec<u8>]) -> ImageLayout {
        let read = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
        let blob = |of: &Value| blob_path(base, &Digest::parse(of["digest"].as_str().unwrap()).unwrap());
        let manifest = read(&blob(&read(&base.join("index.json"))["manifests"][0]));
        let shared = manifest["layers"].as_array().unwrap().iter().map(blob).collect();
        let config = read(&blob(&manifest["config"]));
        let mut image = ImageLayout { config, manifest, blobs: Vec::new(), shared };
        layers.iter().for_each(|tar| image.add_gzip(|| tar.as_slice()));
        image
    }

    /// Adds a layer that is too large to be held: its tar is read twice from what `tar` makes.
    pub fn add_gzip<R: Read>(&mut self, tar: impl Fn() -> R) {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::copy(&mut tar(), &mut encoder).unwrap();
        let blob = encoder.finish().unwrap();
        self.push(Digest::of_stream(tar()).unwrap(), descriptor(Packing::Gzip.media_type(), &blob));
        self.blobs.push(blob);
    }

    /// The same image, its gzip layers packed otherwise.
    pub fn repacked(self, packing: Packing) -> ImageLayout {
        let shared = self.shared.iter().map(|path| fs::read(path).unwrap());
        let layers = shared.chain(self.blobs).map(|blob| {
            let mut tar = Vec::new();
            GzDecoder::new(blob.as_slice()).read_to_end(&mut tar).unwrap();
            (packing, tar)
        });
        let config = self.config["config"].clone();
        let mut image = ImageLayout::new(&layers.collect::<Vec<_>>());
        image.config["config"] = config;
        image
    }

    fn push(&mut self, diff_id: Digest, layer: Value) {
        self.config["rootfs"]["diff_ids"].as_array_mut().unwrap().push(json!(diff_id.to_string()));
        self.manifest["layers"].as_array_mut().unwrap().push(layer);
    }

    /// Writes the layout into `directory`, which is made, and tags the image.
    pub fn write(mut self, directory: &Path, tag: &str) {
        fs::create_dir_all(directory.join("blobs/sha256")).unwrap();
        let config = serde_json::to_vec(&self.config).unwrap();
        self.manifest["config"] = descriptor("application/vnd.oci.image.config.v1+json", &config);
        let manifest = serde_json::to_vec(&self.manifest).unwrap();
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        entry["platform"] = json!({ "os": "linux", "architecture": "amd64" });
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        for blob in self.blobs.iter().chain([&config, &manifest]) {
            fs::write(blob_path(directory, &Digest::of(blob)), blob).unwrap();
        }
        for path in &self.shared {
            let copy = directory.join("blobs/sha256").join(path.file_name().unwrap());
            // A layout has no links to elsewhere; a hard link, where that is possible, takes no room.
            if !copy.exists() && fs::hard_link(path, &copy).is_err() {
                fs::copy(path, &copy).unwrap();
            }
        }
        let index = json!({ "schemaVersion": 2, "manifests": [entry] });
        fs::write(directory.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
        fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }

    /// The digest of the layer at `index` as it is stored.
    pub fn layer(&self, index: usize) -> Digest {
        Digest::of(&self.blobs[index])
    }
}

/// Where a layout keeps a blob.
pub fn blob_path(layout: &Path, digest: &Digest) -> PathBuf {
    layout.join("blobs").join(digest.algorithm()).join(digest.hex())
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(blob).to_string(), "size": blob.len() })
}
