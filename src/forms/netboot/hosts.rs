//! The hosts of the folder. `hosts/NAME` is a link to what the host boots: publishing replaces it in one step.

use crate::error::{Result, failed, refused};
use crate::forms::netboot::boot::Boot;
use crate::forms::netboot::loaders::{self, OF_PXELINUX, put_file, pxelinux};
use crate::request::netboot::{Host, refuse_odd_name};
use crate::words::digest::Digest;
use anyhow::Context;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Folder of the hosts.
const HOSTS: &str = "hosts";
/// Folder of what hosts boot, now or before.
const BOOTS: &str = "hosts/.boots";
/// Folders in which a machine finds its host by an address.
const BY: [&str; 2] = ["by-mac", "by-uuid"];
/// Start of the name of a link that is not in its place yet; no name of a host begins so.
const NEW: &str = ".new-";
/// File that says what a host boots.
const DESCRIPTION: &str = "host.json";

/// Longest command line of a kernel in bytes (x86: asm/setup.h, COMMAND_LINE_SIZE, with a NUL).
const LONGEST: usize = 2047;
/// Bytes that loaders add: names of files, and `BOOTIF=` with a MAC address.
const BY_LOADERS: usize = 128;

/// The hosts of a netboot folder.
pub struct Hosts<'h> {
    folder: &'h Path,
    url: &'h str,
}

impl<'h> Hosts<'h> {
    /// Opens the hosts of `folder`, which machines reach at `url`.
    pub fn open(folder: &'h Path, url: &'h str) -> Result<Hosts<'h>> {
        for name in [HOSTS, BOOTS, BY[0], BY[1], OF_PXELINUX] {
            let path = folder.join(name);
            fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
            remove_leftovers(&path)?;
        }
        Ok(Hosts { folder, url })
    }

    /// Returns the address of the folder.
    pub fn url(&self) -> &str {
        self.url
    }

    /// Lets a host boot an image from now on. Returns false if it does already.
    pub fn publish(&self, host: &Host, boot: &Boot) -> Result<bool> {
        let changes = self.point(boot)?;
        self.address(&boot.host, host)?;
        Ok(changes)
    }

    /// Lets a host that has its addresses boot an image from now on. Returns false if it does already.
    pub fn point(&self, boot: &Boot) -> Result<bool> {
        let name = &boot.host;
        refuse_too_long(boot)?;
        let text = serde_json::to_string_pretty(boot)? + "\n";
        let files = loaders::of_host(self.url, boot);
        let mark = Digest::of(format!("{text}{files:?}").as_bytes());
        let target = format!("{name}-{}", &mark.hex()[..12]);
        let place = self.folder.join(BOOTS).join(&target);
        if !place.join(DESCRIPTION).exists() {
            for (name, text) in files {
                put_file(&place.join(name), text.as_bytes())?;
            }
            put_file(&place.join(DESCRIPTION), text.as_bytes())?;
        }
        let target = format!(".boots/{target}");
        let now = self.target(name)?;
        let changes = now.as_deref() != Some(target.as_str());
        if changes {
            // One goes back to another image or layer, and not to other words for this one.
            let is_other = |before: Boot| before.image != boot.image || before.layer != boot.layer;
            if let Some(now) = now.filter(|now| self.boot(now).is_ok_and(is_other)) {
                link(&now, &self.previous(name))?;
            }
            link(&target, &self.folder.join(HOSTS).join(name))?; // from here on it boots this
        }
        Ok(changes)
    }

    /// Refuses an address that another host of the folder has.
    pub fn refuse_taken(&self, name: &str, host: &Host) -> Result<()> {
        for (by, address) in addresses(host) {
            let path = self.folder.join(by).join(address);
            if let Some(target) = read_link(&path)?.filter(|target| *target != link_to(name)) {
                let other = target.rsplit('/').next().unwrap_or_default();
                let hint = format!("give {other} another address first, or remove {}", path.display());
                return Err(refused(format!("{address} is the address of the host {other}, not of {name}"), hint));
            }
        }
        Ok(())
    }

    /// Links the addresses of a host to it, and removes the links of those that it had before.
    fn address(&self, name: &str, host: &Host) -> Result<()> {
        let by_address = addresses(host).map(|(by, address)| self.folder.join(by).join(address));
        self.link_all(&by_address.collect(), &BY, &link_to(name))?;
        let of_pxelinux = pxelinux::names(&host.macs, &host.uuids).map(|file| self.folder.join(OF_PXELINUX).join(file));
        self.link_all(&of_pxelinux.collect(), &[OF_PXELINUX], &format!("../{}/{}", link_to(name), pxelinux::FILE))
    }

    /// Makes `links` to a target, and removes all others in these folders that lead there.
    fn link_all(&self, links: &BTreeSet<PathBuf>, folders: &[&str], target: &str) -> Result<()> {
        links.iter().try_for_each(|path| link(target, path))?;
        for folder in folders.iter().map(|folder| self.folder.join(folder)) {
            for path in entries(&folder)?.into_iter().filter(|path| !links.contains(path)) {
                if read_link(&path)?.as_deref() == Some(target) {
                    fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
                }
            }
        }
        Ok(())
    }

    /// Returns what a host boots now.
    pub fn now(&self, name: &str) -> Result<Boot> {
        self.boot(&self.known(name)?)
    }

    fn known(&self, name: &str) -> Result<String> {
        refuse_odd_name(name, "the host")?;
        self.target(name)?.ok_or_else(|| {
            let found = format!("{} has no host {name}", self.folder.display());
            refused(found, format!("name one of those in {}", self.folder.join(HOSTS).display()))
        })
    }

    /// Lets a host boot what it booted before. Returns what that is.
    pub fn roll_back(&self, name: &str) -> Result<Boot> {
        let now = self.known(name)?;
        let previous = read_link(&self.previous(name))?.filter(|previous| *previous != now).ok_or_else(|| {
            refused(format!("the host {name} has booted nothing else before"), "publish an image: --image, --host")
        })?;
        link(&previous, &self.folder.join(HOSTS).join(name))?; // from here on it boots this
        link(&now, &self.previous(name))?;
        self.boot(&previous)
    }

    /// Refuses a folder by plain HTTP with a layer that was made for https: it may have secrets.
    pub fn refuse_in_the_clear(&self) -> Result<()> {
        if self.url.starts_with("https://") {
            return Ok(());
        }
        for path in entries(&self.folder.join(HOSTS))? {
            // One that is damaged is told where it is used.
            let boot = read_link(&path)?.and_then(|target| self.boot(&target).ok());
            if let Some(boot) = boot.filter(Boot::is_secret) {
                let found = format!(
                    "the layer of {} was made for https and may have secrets, and the folder is at {}",
                    boot.host, self.url
                );
                let hint =
                    format!("serve the folder by https: --url; or remove {} and publish it again", path.display());
                return Err(refused(found, hint));
            }
        }
        Ok(())
    }

    /// Returns the folders of the images that hosts boot, or booted before, and the files of their layers.
    pub fn used(&self) -> Result<Used> {
        let mut used = Used::default();
        for path in entries(&self.folder.join(HOSTS))? {
            if let Some(target) = read_link(&path)? {
                let hint = || format!("publish this host again, or remove {}", path.display());
                let boot = self.boot(&target).map_err(|error| failed(format!("{error:#}"), hint()))?;
                used.images.insert(boot.image);
                used.layers.extend(boot.layer.map(|layer| layer.file.name().to_owned()));
            }
        }
        Ok(used)
    }

    fn boot(&self, target: &str) -> Result<Boot> {
        let path = self.folder.join(HOSTS).join(target).join(DESCRIPTION);
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text)
            .map_err(|error| failed(format!("{} is damaged: {error}", path.display()), "publish the host again"))
    }

    fn target(&self, name: &str) -> Result<Option<String>> {
        read_link(&self.folder.join(HOSTS).join(name))
    }

    fn previous(&self, name: &str) -> PathBuf {
        self.folder.join(HOSTS).join(format!(".{name}.previous"))
    }
}

/// Refuses a command line that the kernel would cut without a word, with what loaders add to it: a MAC address and names.
fn refuse_too_long(boot: &Boot) -> Result<()> {
    let length = boot.cmdline.len() + boot.name_word().len() + BY_LOADERS;
    if length <= LONGEST {
        return Ok(());
    }
    let found =
        format!("the kernel's command line of {} would be {length} bytes long, and it takes {LONGEST}", boot.host);
    Err(refused(found, "give the folder a shorter --url, or fewer words: --kargs"))
}

/// Things that hosts boot, or booted before.
#[derive(Debug, Default)]
pub struct Used {
    /// Folders of images.
    pub images: BTreeSet<String>,
    /// Files of layers of hosts.
    pub layers: BTreeSet<String>,
}

/// Returns the addresses of a host, each with the folder of its kind.
fn addresses(host: &Host) -> impl Iterator<Item = (&'static str, &String)> {
    host.macs.iter().map(|mac| (BY[0], mac)).chain(host.uuids.iter().map(|uuid| (BY[1], uuid)))
}

/// Returns the target of the links of a host's addresses.
fn link_to(name: &str) -> String {
    format!("../{HOSTS}/{name}")
}

/// Returns the paths of what is in a folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let reading = || format!("reading {}", folder.display());
    let entries: Vec<_> =
        fs::read_dir(folder).with_context(reading)?.collect::<Result<_, _>>().with_context(reading)?;
    Ok(entries.iter().map(fs::DirEntry::path).collect())
}

/// Removes links that a run that was cut did not finish.
fn remove_leftovers(folder: &Path) -> Result<()> {
    let is_new =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(NEW.as_bytes()));
    for path in entries(folder)?.into_iter().filter(is_new) {
        fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(())
}

/// Returns the target of a link; `None` if there is no link.
fn read_link(path: &Path) -> Result<Option<String>> {
    match fs::read_link(path) {
        Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
        Err(error) if [ErrorKind::NotFound, ErrorKind::InvalidInput].contains(&error.kind()) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading the link {}", path.display())),
    }
}

/// Makes a link, or replaces one in one step.
fn link(target: &str, path: &Path) -> Result<()> {
    let linking = || format!("linking {}", path.display());
    if read_link(path)?.as_deref() == Some(target) {
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!("{NEW}{name}"));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).with_context(linking),
        _ => {}
    }
    symlink(target, &new).and_then(|()| fs::rename(&new, path)).with_context(linking)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(linking)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_boots_what_was_published_last_and_goes_back_to_what_it_booted_before() {
        let folder = tempfile::tempdir().unwrap();
        let hosts = Hosts::open(folder.path(), "http://srv").unwrap();
        let rack = Host {
            image: "web".to_owned(),
            layer: None,
            macs: vec!["52-54-00-12-34-56".to_owned()],
            uuids: Vec::new(),
        };
        let now = || fs::read_to_string(folder.path().join("by-mac/52-54-00-12-34-56/boot.ipxe")).unwrap();
        let [one, two] = ["one", "two"].map(|image| Boot::new("rack1", ("web", image), "quiet"));
        assert!(hosts.publish(&rack, &one).unwrap());
        assert!(now().contains("http://srv/images/one/vmlinuz"), "{}", now());
        assert!(hosts.roll_back("rack1").unwrap_err().to_string().contains("nothing else before"));
        assert!(hosts.publish(&rack, &two).unwrap());
        assert!(!hosts.publish(&rack, &two).unwrap(), "the same again changes nothing");
        assert!(now().contains("http://srv/images/two/vmlinuz"));
        assert_eq!(hosts.roll_back("rack1").unwrap(), one);
        assert!(now().contains("http://srv/images/one/vmlinuz"));
        assert_eq!(hosts.used().unwrap().images.into_iter().collect::<Vec<_>>(), ["one", "two"], "both are kept");
        assert!(hosts.roll_back("rack2").unwrap_err().to_string().contains("has no host rack2"));
        assert!(hosts.roll_back("../x").is_err());
    }

    #[test]
    fn n11_words_that_the_kernel_would_cut_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let hosts = Hosts::open(folder.path(), "http://srv").unwrap();
        let point = |length| hosts.point(&Boot::new("rack1", ("web", "one"), &"x".repeat(length)));
        assert!(point(1800).unwrap());
        let said = point(4000).unwrap_err().to_string();
        assert!(said.contains("command line of rack1 would be 41") && said.contains("takes 2047"), "{said}");
    }
}
