//! Archives of `docker save` and of skopeo's docker-archive: `manifest.json`, configs and layers in a tar
//! file. They name no digest of a layer's blob, only the config's `diff_id`s.

use crate::error::{Result, failed, refused};
use crate::layer::stream::Compression;
use crate::oci::document::DOCUMENT_MAX;
use crate::oci::tar_index::TarIndex;
use crate::words::digest::Digest;
use anyhow::Context;
use serde::Deserialize;
use std::io::Read;
use std::path::Path;

/// One image of the archive, as `manifest.json` lists it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// One image in an opened archive.
pub struct DockerArchive {
    tar: TarIndex,
    saved: Saved,
}

impl DockerArchive {
    /// Opens the archive at `path` and finds the image `name` in it, or its only image.
    pub fn open(path: &Path, name: Option<&str>) -> Result<DockerArchive> {
        let tar = TarIndex::open(path)?;
        let bytes = tar.read("manifest.json", DOCUMENT_MAX)?;
        let images: Vec<Saved> =
            serde_json::from_slice(&bytes).with_context(|| format!("reading manifest.json of {}", path.display()))?;
        let saved = pick(images, name)?;
        Ok(DockerArchive { tar, saved })
    }

    /// Reads the config and returns its bytes and their digest, which `docker save` uses as the image's name.
    pub fn config(&self) -> Result<(Vec<u8>, Digest)> {
        let bytes = self.tar.read(&self.saved.config, DOCUMENT_MAX)?;
        let digest = Digest::of(&bytes);
        let stem = self.saved.config.rsplit('/').next().unwrap_or_default().trim_end_matches(".json");
        if let Ok(named) = Digest::parse(&format!("sha256:{stem}"))
            && named != digest
        {
            return Err(failed(format!("the config is called {stem}, but hashes to {digest}"), "save the image again"));
        }
        Ok((bytes, digest))
    }

    /// Lists the layers' names in the archive, lowest first, with their sizes in bytes and compression.
    pub fn layers(&self) -> Result<Vec<(String, u64, Compression)>> {
        self.saved
            .layers
            .iter()
            .map(|name| {
                let mut file = self.tar.file(name)?;
                let size = file.size();
                let mut magic = [0; 4];
                let length = file.read(&mut magic)?;
                Ok((name.clone(), size, compression(&magic[..length])))
            })
            .collect()
    }

    /// Opens the layer that the archive stores as `name`, still compressed.
    pub fn layer(&self, name: &str) -> Result<Box<dyn Read>> {
        Ok(Box::new(self.tar.file(name)?))
    }
}

/// Guesses a layer's compression from its first bytes: there is no media type, and containerd's
/// `docker save` keeps layers as the registry had them. In the end the `diff_id` shows whether the guess
/// was right.
fn compression(magic: &[u8]) -> Compression {
    match magic {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
        _ => Compression::Plain,
    }
}

fn pick(images: Vec<Saved>, name: Option<&str>) -> Result<Saved> {
    let tags = |image: &Saved| image.repo_tags.clone().unwrap_or_default();
    let all: Vec<String> = images.iter().flat_map(tags).collect();
    // A tag may be listed with or without the registry that docker adds.
    let fits = |image: &Saved| {
        name.is_none_or(|name| tags(image).iter().any(|tag| tag == name || tag.ends_with(&format!("/{name}"))))
    };
    let mut fitting: Vec<Saved> = images.into_iter().filter(fits).collect();
    match (fitting.pop(), fitting.is_empty()) {
        (Some(one), true) => Ok(one),
        _ => {
            let asked = name.map_or("exactly one image".to_owned(), |name| format!("exactly one image '{name}'"));
            Err(refused(
                format!("the archive does not hold {asked}; it holds: {}", all.join(", ")),
                "name one of them: docker-archive:file:name:tag",
            ))
        }
    }
}
