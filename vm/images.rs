//! Images built by the recipe in `vm/images`, each once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The OCI layout of a Debian release, built if it is not cached.
pub fn layout(suite: &str) -> PathBuf {
    static BUILT: OnceLock<Mutex<BTreeMap<String, PathBuf>>> = OnceLock::new();
    let mut built = BUILT.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    built.entry(suite.to_owned()).or_insert_with(|| build(suite)).clone()
}

/// The image's kernel, beside its layout.
pub fn kernel(suite: &str) -> PathBuf {
    layout(suite).with_file_name("vmlinuz")
}

#[allow(clippy::disallowed_methods)] // tests start programs by themselves
fn build(suite: &str) -> PathBuf {
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("vm/images/build.sh");
    let output = Command::new(recipe).arg(suite).output().expect("the recipe can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "building the image of {suite} failed:\n{said}");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
