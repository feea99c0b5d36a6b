//! A folder for large files that are needed for a while: on a disk where there is one, and removed at the end.

use crate::error::Result;
use crate::mount::lock::{Patience, lock};
use anyhow::Context;
use std::env;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// Place for large files that outlive no restart (hier(7)), unless `TMPDIR` names another one.
const PLACE: &str = "/var/tmp";
/// Start of the names of such folders; 32 hexadecimal digits follow.
const NAME: &str = ".flipslot-work-";
/// Age after which a folder that nobody has locked was left: between making and locking one, a moment passes.
const LEFT: Duration = Duration::from_secs(600);

/// A folder that only its owner can enter. Dropping it removes it; one of a run that was killed is removed by the next.
pub struct Workplace {
    path: PathBuf,
    /// Says that the folder is in use.
    _locked: File,
}

impl Workplace {
    /// Makes a folder, after removing those that nobody uses any more.
    pub fn make() -> Result<Workplace> {
        let place = env::var_os("TMPDIR").map_or_else(|| PathBuf::from(PLACE), PathBuf::from);
        remove_left(&place);
        let path = place.join(format!("{NAME}{}", Uuid::new_v4().simple()));
        let making = || format!("making {}", path.display());
        DirBuilder::new().mode(0o700).create(&path).with_context(making)?;
        let open = File::open(&path).with_context(making)?;
        lock(&open, &path, Patience::Refuse)?;
        Ok(Workplace { path, _locked: open })
    }

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            crate::stderr!("flipslot: removing {}: {error}", self.path.display());
        }
    }
}

/// Removes folders that a killed run has left.
fn remove_left(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let path = entry.path();
        // Others may write into the place.
        let is_ours = |path: &Path| {
            let found = fs::symlink_metadata(path);
            found.is_ok_and(|found| {
                let is_old = found.modified().ok().and_then(|time| time.elapsed().ok()).is_some_and(|age| age > LEFT);
                found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() && is_old
            })
        };
        if is_name(&entry.file_name().to_string_lossy())
            && is_ours(&path)
            && let Ok(open) = File::open(&path)
            && lock(&open, &path, Patience::Refuse).is_ok()
        {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

fn is_name(name: &str) -> bool {
    let digits = name.strip_prefix(NAME).unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn a_folder_goes_at_its_end_and_one_that_was_left_with_the_next() {
        let place = tempfile::tempdir().unwrap();
        let named = |digit: &str| place.path().join(format!("{NAME}{}", digit.repeat(32)));
        let [left, used, new, other] = [named("a"), named("b"), named("c"), place.path().join(".flipslot-work-mine")];
        [&left.join("deep"), &used, &new, &other].into_iter().for_each(|path| fs::create_dir_all(path).unwrap());
        for old in [&left, &used, &other] {
            File::open(old).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        let open = File::open(&used).unwrap();
        lock(&open, &used, Patience::Refuse).unwrap();
        remove_left(place.path());
        assert!(!left.exists() && other.exists() && used.exists() && new.exists());
        let made = Workplace::make().unwrap();
        let path = made.path().to_owned();
        fs::write(path.join("file"), "x").unwrap();
        drop(made);
        assert!(!path.exists());
    }
}
