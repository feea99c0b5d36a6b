//! The user's own folder of settings.

use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Returns `$HOME/.config/containers` if that home is this user's: under sudo(8) it may be another's, whose settings do
/// not count, and may not be readable.
pub fn settings() -> Option<PathBuf> {
    let home = PathBuf::from(env::var_os("HOME").filter(|home| !home.is_empty())?);
    let is_own = home.metadata().is_ok_and(|metadata| metadata.uid() == rustix::process::geteuid().as_raw());
    is_own.then(|| home.join(".config/containers"))
}
