//! Images built by the recipe in `vm/images`, each once.

use crate::disks;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The OCI layout of a Debian release, built if it is not cached.
pub fn layout(suite: &str) -> PathBuf {
    with_packages(suite, &[])
}

/// The same with more packages in it.
pub fn with_packages(suite: &str, packages: &[&str]) -> PathBuf {
    static BUILT: OnceLock<Mutex<BTreeMap<String, PathBuf>>> = OnceLock::new();
    let mut built = BUILT.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let image = [&[suite], packages].concat();
    built.entry(image.join(" ")).or_insert_with(|| build(&image)).clone()
}

/// The image's kernel, beside its layout.
pub fn kernel(suite: &str) -> PathBuf {
    layout(suite).with_file_name("vmlinuz")
}

#[allow(clippy::disallowed_methods)] // tests start programs by themselves
fn build(image: &[&str]) -> PathBuf {
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("vm/images/build.sh");
    let output = Command::new(recipe).args(image).output().expect("the recipe can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "building the image of {image:?} failed:\n{said}");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

/// What a layer puts into an image.
#[derive(Debug, Clone)]
pub enum Put<'p> {
    /// A file at this path, with these bytes.
    File(&'p str, Vec<u8>),
    /// A link at this path, to there.
    Link(&'p str, &'p str),
}

/// The OCI layout of a Debian with one more layer; `base` is its layout.
pub fn with_layer(base: &Path, name: &str, puts: &[Put]) -> PathBuf {
    let folder = disks::folder().join(format!("image-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    disks::run("cp", &["-a", "--reflink=auto", &base.to_string_lossy(), &folder.to_string_lossy()]);
    let layer = disks::folder().join(format!("image-{name}.tar"));
    std::fs::write(&layer, tar_of(puts).expect("memory can be written")).expect("the layer can be written");
    let image = format!("{}:latest", folder.display());
    disks::run("umoci", &["raw", "add-layer", "--image", &image, &layer.to_string_lossy()]);
    std::fs::remove_file(&layer).expect("the layer is in the layout now");
    folder
}

fn tar_of(puts: &[Put]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for put in puts {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        match put {
            Put::File(path, bytes) => {
                header.set_size(bytes.len() as u64);
                tar.append_data(&mut header, path, bytes.as_slice())?;
            }
            Put::Link(path, target) => {
                header.set_size(0);
                header.set_entry_type(tar::EntryType::Symlink);
                tar.append_link(&mut header, path, target)?;
            }
        }
    }
    tar.into_inner()
}
