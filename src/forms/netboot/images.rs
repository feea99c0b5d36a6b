//! The images of the folder: each in a folder named by its digest, complete or not there.

use crate::disk::new::file::Existing;
use crate::error::{Result, refused};
use crate::forms::netboot::loaders::put_file;
use crate::publish::described::{DESCRIPTION, Described};
use crate::publish::sums;
use crate::publish::written_file::filled;
use crate::words::digest::Digest;
use anyhow::Context;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Name of the images' folder.
pub const IMAGES: &str = "images";
/// Folder with a file for each name of an image, which says which folder was written last for it.
const NAMES: &str = "names";
/// Start of the name of a folder that is not complete.
const NEW: &str = ".new-";

/// Returns the name of an image's folder: its digest, and eight digits of what else its files depend on: what was `asked`
/// for, version.
pub fn name_of(digest: &Digest, asked: &str) -> String {
    let made = Digest::of(format!("{} {asked}", env!("CARGO_PKG_VERSION")).as_bytes());
    format!("{}-{}-{}", digest.algorithm(), digest.hex(), &made.hex()[..8])
}

/// The images of a netboot folder.
pub struct Images {
    folder: PathBuf,
    names: PathBuf,
}

impl Images {
    /// Opens the images of `folder`, and removes what a run that was cut left there.
    pub fn open(folder: &Path) -> Result<Images> {
        let [folder, names_of] = [IMAGES, NAMES].map(|name| folder.join(name));
        for folder in [&folder, &names_of] {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        for name in names(&folder)? {
            // A folder without a description was being removed when a run was cut.
            if name.starts_with(NEW) || !folder.join(&name).join(DESCRIPTION).exists() {
                fs::remove_dir_all(folder.join(&name)).with_context(|| format!("removing {name}"))?;
            }
        }
        Ok(Images { folder, names: names_of })
    }

    /// Returns the description of a complete image; `None` if it is not there.
    pub fn described(&self, name: &str) -> Result<Option<Described>> {
        Described::read(&self.folder.join(name))
    }

    /// Makes an image's folder by `write`, and gives it its name when it is complete.
    pub fn add(&self, name: &str, write: impl FnOnce(&Path) -> Result<Described>) -> Result<Described> {
        let new = self.folder.join(format!("{NEW}{name}"));
        fs::create_dir(&new).with_context(|| format!("making {}", new.display()))?;
        let described = match write(&new) {
            Ok(described) => described,
            Err(error) => {
                let _ = fs::remove_dir_all(&new);
                return Err(error);
            }
        };
        self.share(&new, &described)?;
        let text = serde_json::to_string_pretty(&described)? + "\n";
        let files = described.files.iter().map(|file| (file.name(), file.digest().clone()));
        let all: Vec<(&str, Digest)> = files.chain([(DESCRIPTION, Digest::of(text.as_bytes()))]).collect();
        filled(&new.join(sums::NAME), "partial", Existing::Refuse, &sums::with(b"", &all))?.publish()?;
        filled(&new.join(DESCRIPTION), "partial", Existing::Refuse, text.as_bytes())?.publish()?;
        let naming = || format!("naming {}", self.folder.join(name).display());
        fs::rename(&new, self.folder.join(name)).with_context(naming)?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).with_context(naming)?;
        Ok(described)
    }

    /// Notes that an image of this name was written last into the folder `target`.
    pub fn name(&self, name: &str, target: &str) -> Result<()> {
        put_file(&self.names.join(name), format!("{target}\n").as_bytes())
    }

    /// Returns the folder that was written last for this name, with the description of the image. Refuses a name that
    /// nothing was written for, or whose image was removed since.
    pub fn named(&self, name: &str) -> Result<(String, Described)> {
        let path = self.names.join(name);
        let missing =
            |why: &str| refused(format!("the image {name} {why}"), format!("write it: --image {name}=REFERENCE"));
        let folder = fs::read_to_string(&path).map_err(|_| missing("was not written here"))?.trim().to_owned();
        let described = self.described(&folder)?.ok_or_else(|| missing("was removed since it was written"))?;
        Ok((folder, described))
    }

    /// Replaces files that another image has, too, by hard links to those: the same kernel, or the same root with other words.
    fn share(&self, new: &Path, described: &Described) -> Result<()> {
        for other in names(&self.folder)?.into_iter().filter(|name| !name.starts_with(NEW)) {
            let other = self.folder.join(other);
            let Some(known) = Described::read(&other)? else { continue };
            for file in described.files.iter().filter(|file| known.files.contains(file)) {
                let (link, path) = (new.join(".link"), new.join(file.name()));
                // A filesystem without hard links keeps two files.
                if fs::hard_link(other.join(file.name()), &link).is_ok() {
                    fs::rename(&link, &path).with_context(|| format!("naming {}", path.display()))?;
                }
            }
        }
        Ok(())
    }

    /// Removes images that none of `used` names, but for the `keep` newest. Returns the names of the removed ones.
    pub fn remove_unused(&self, used: &BTreeSet<String>, keep: usize) -> Result<Vec<String>> {
        let mut unused = Vec::new();
        for name in names(&self.folder)?.into_iter().filter(|name| !used.contains(name)) {
            let path = self.folder.join(&name).join(DESCRIPTION);
            if let Ok(found) = fs::metadata(&path) {
                unused.push((found.modified().context("reading the time of an image")?, name));
            }
        }
        unused.sort();
        let count = unused.len().saturating_sub(keep);
        let mut removed = Vec::new();
        for (_, name) in unused.into_iter().take(count) {
            let path = self.folder.join(&name);
            // Under this name, the next run removes what is left if this one is cut.
            let old = self.folder.join(format!("{NEW}{name}"));
            fs::rename(&path, &old)
                .and_then(|()| fs::remove_dir_all(&old))
                .with_context(|| format!("removing {}", path.display()))?;
            removed.push(name);
        }
        Ok(removed)
    }
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let reading = || format!("reading {}", folder.display());
    let entries: Vec<_> =
        fs::read_dir(folder).with_context(reading)?.collect::<Result<_, _>>().with_context(reading)?;
    Ok(entries.into_iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}
