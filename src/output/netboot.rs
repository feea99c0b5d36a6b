//! The result of `netboot`, for people and as JSON (docs/netboot.md).

use crate::output::document::Document;
use crate::publish::described::Described;
use crate::words::units::Bytes;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// The result of a run; `version` is that of the JSON form.
#[derive(Debug, Serialize)]
pub struct Published {
    version: u32,
    folder: String,
    images: Vec<PublishedImage>,
    hosts: Vec<PublishedHost>,
    /// Folders of images that were removed.
    removed: Vec<String>,
    seconds: f64,
}

/// An image of the folder.
#[derive(Debug, Serialize)]
pub struct PublishedImage {
    /// Name that it was given.
    pub name: String,
    /// Name of its folder.
    pub folder: String,
    /// Set if it was not there before.
    pub is_new: bool,
    /// Description of it.
    #[serde(flatten)]
    pub described: Described,
}

/// A host of the folder.
#[derive(Debug, Serialize)]
pub struct PublishedHost {
    /// Name of the host.
    pub host: String,
    /// Folder of the image that it boots.
    pub image: String,
    /// File of its layer, in the folder `layers`.
    pub layer: Option<String>,
    /// Set if it booted another one before.
    pub changed: bool,
}

impl Published {
    /// Gathers the result of a run.
    pub fn new(folder: &Path, hosts: Vec<PublishedHost>) -> Published {
        let (images, removed) = (Vec::new(), Vec::new());
        Published { version: 1, folder: folder.display().to_string(), images, hosts, removed, seconds: 0.0 }
    }

    /// Adds the images that were asked for, and those that were removed.
    pub fn with_images(self, images: Vec<PublishedImage>, removed: Vec<String>) -> Published {
        Published { images, removed, ..self }
    }

    /// Adds the duration of the run.
    pub fn took(self, elapsed: Duration) -> Published {
        Published { seconds: (elapsed.as_secs_f64() * 1000.0).round() / 1000.0, ..self }
    }
}

impl Document for Published {
    fn text(&self) -> String {
        let mut text = format!("{}: written in {:.1} s\n", self.folder, self.seconds);
        for PublishedImage { name, folder, is_new, described } in &self.images {
            let state = if *is_new { "new" } else { "there already" };
            let _ = writeln!(text, "  image {name}  {}, kernel {} ({state})", described.os, described.kernel);
            let _ = writeln!(text, "    {}\n    {}", described.reference, described.digest);
            let _ = writeln!(text, "    images/{folder}, for a machine with {}", Bytes(described.least_memory));
        }
        for PublishedHost { host, image, layer, changed } in &self.hosts {
            let when = if *changed { "boots from now on" } else { "boots, as before," };
            let layer = layer.as_ref().map(|layer| format!(", with layers/{layer}")).unwrap_or_default();
            let _ = writeln!(text, "  host {host} {when} images/{image}{layer}");
        }
        self.removed.iter().for_each(|name| text += &format!("  removed: images/{name}\n"));
        text
    }
}
