//! Layers of a host: files of one machine, which lie over the image that they were made for, and over no other one.

use crate::error::{Result, failed};
use crate::init::image_file::mount_file;
use crate::init::load::Loader;
use crate::init::overlay::FOLDER;
use crate::init::source::{Place, Source};
use crate::words::host_name::is_host_name;
use anyhow::Context;
use rustix::mount::{UnmountFlags, unmount};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Word that names them.
pub const WORD: &str = "flipslot.host-layer=";
/// File of a layer with the digest of the image that it was made for.
pub const BASE: &str = "base";
/// Folder of a layer with its files. A device 0:0 hides what has its path (kernel: filesystems/overlayfs.rst).
pub const FILES: &str = "files";
/// Folders that no layer of a host has: they belong to the kernel, which runs already.
pub const OF_KERNEL: [&str; 3] = ["boot", "lib/modules", "usr/lib/modules"];
/// Longest content of [`BASE`] and of a host name's file that is read, in bytes.
const LINE_MAX: u64 = 4096;

/// Reads the sources of layers. Each needs a digest, and is on a server or in the initramfs.
pub fn sources(words: &[String]) -> Result<Vec<Source>> {
    let read = |text: &String| {
        let source = Source::read(WORD, text)?;
        let is_near = matches!(source.place, Place::Initramfs(_) | Place::Server(_));
        if is_near && source.digest.is_some() {
            return Ok(source);
        }
        let found = format!("{WORD}{text} is neither a file of a server nor one of the initramfs with its digest");
        Err(failed(found, "name it: https://…@sha256:…"))
    };
    words.iter().map(read).collect()
}

/// A layer that is mounted.
pub struct HostLayer {
    /// Folder of its files.
    pub files: String,
    /// SHA-256 of the layer, in hexadecimal.
    pub digest: String,
    /// Host name that it has.
    pub host: Option<String>,
}

/// Mounts layers, the lowest first: for each the path of its file, and its digest. Refuses one that was made for another
/// image than that with the digest `base`.
pub fn mount_layers(layers: &[(String, String)], base: Option<&str>, loader: &mut Loader) -> Result<Vec<HostLayer>> {
    let mount = |(index, (file, digest)): (usize, &(String, String))| {
        let place = place_of(index);
        let mut head = [0; 4];
        File::open(file).and_then(|mut file| file.read_exact(&mut head)).with_context(|| format!("reading {file}"))?;
        let filesystem = if &head == b"hsqs" { "squashfs" } else { "erofs" }; // squashfs_fs.h, SQUASHFS_MAGIC
        mount_file("the layer of this host", file, filesystem, &place, loader)?;
        refuse_other_base(&place, base)?;
        refuse_kernel(&place)?;
        let files = format!("{place}/{FILES}");
        Ok(HostLayer { host: host_of(&files), files, digest: digest.clone() })
    };
    layers.iter().enumerate().map(mount).collect()
}

/// Unmounts layers whose files were copied, and gives their memory back.
pub fn give_back(layers: &[(String, String)]) -> Result<()> {
    for (index, (file, _)) in layers.iter().enumerate() {
        unmount(place_of(index), UnmountFlags::empty()).context("unmounting the layer of this host")?;
        fs::remove_file(file).with_context(|| format!("removing {file}"))?;
    }
    Ok(())
}

/// Returns the place at which a layer is mounted.
fn place_of(index: usize) -> String {
    format!("{FOLDER}/host/{index}")
}

/// Refuses a layer that was made for another image.
fn refuse_other_base(place: &str, base: Option<&str>) -> Result<()> {
    let made_for =
        first_line(&format!("{place}/{BASE}")).context("reading what the layer of this host was made for")?;
    let has = base.map_or_else(|| "no digest".to_owned(), |digest| format!("the digest sha256:{digest}"));
    if base.is_some_and(|digest| made_for == format!("sha256:{digest}")) {
        return Ok(());
    }
    let found =
        format!("the layer of this host was made for an image with the digest {made_for}, and the root has {has}");
    Err(failed(found, "publish the host again, image and layer together: flipslot netboot"))
}

/// Refuses a layer with what belongs to the kernel that runs already.
fn refuse_kernel(place: &str) -> Result<()> {
    let has = |folder: &&&str| fs::symlink_metadata(format!("{place}/{FILES}/{folder}")).is_ok();
    OF_KERNEL.iter().find(has).map_or(Ok(()), |folder| {
        let found = format!("the layer of this host has /{folder}: kernel and modules are those of its image");
        Err(failed(found, "change the image instead, and publish it and the host again"))
    })
}

/// Returns the host name that the topmost layer with one has.
pub fn host_name(layers: &[HostLayer]) -> Option<String> {
    layers.iter().rev().find_map(|layer| layer.host.clone())
}

/// Returns the host name that the files of a layer have.
fn host_of(files: &str) -> Option<String> {
    let path = format!("{files}/etc/hostname");
    let is_file = fs::symlink_metadata(Path::new(&path)).is_ok_and(|found| found.is_file());
    is_file.then(|| first_line(&path).ok()).flatten().filter(|name| is_host_name(name))
}

/// Returns the first line of a file that is not a comment (hostname(5)).
fn first_line(path: &str) -> Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LINE_MAX).read_to_string(&mut text)?;
    Ok(text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .unwrap_or_default()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_needs_a_digest_and_a_server_or_the_initramfs() {
        let digest = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let read = |text: &str| sources(&[text.to_owned()]);
        assert!(read(&format!("http://srv/x{digest}")).is_ok() && read(&format!("/host-layer-0{digest}")).is_ok());
        for odd in ["http://srv/x", "/x", &format!("docker://srv/x{digest}"), &format!("PARTUUID=1/x{digest}")] {
            let said = read(odd).unwrap_err().to_string();
            assert!(said.contains("flipslot.host-layer="), "{said}");
        }
    }

    #[test]
    fn n7_a_layer_for_another_image_is_refused_and_names_both() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_str().unwrap();
        fs::write(folder.path().join(BASE), "sha256:ab\n").unwrap();
        refuse_other_base(place, Some("ab")).unwrap();
        let said = |base| refuse_other_base(place, base).unwrap_err().to_string();
        assert!(said(Some("cd")).contains("sha256:ab, and the root has the digest sha256:cd"), "{}", said(Some("cd")));
        assert!(said(None).contains("the root has no digest"));
    }

    #[test]
    fn n7_a_layer_with_modules_of_the_kernel_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_str().unwrap();
        fs::create_dir_all(folder.path().join(FILES).join("usr/lib/systemd")).unwrap();
        refuse_kernel(place).unwrap();
        fs::create_dir(folder.path().join(FILES).join("usr/lib/modules")).unwrap();
        assert!(refuse_kernel(place).unwrap_err().to_string().contains("has /usr/lib/modules"));
    }

    #[test]
    fn a_host_has_the_name_that_its_topmost_layer_says() {
        let folder = tempfile::tempdir().unwrap();
        let layer = |name: &str, text: &str| {
            let files = folder.path().join(name);
            fs::create_dir_all(files.join("etc")).unwrap();
            fs::write(files.join("etc/hostname"), text).unwrap();
            let files = files.to_str().unwrap().to_owned();
            HostLayer { host: host_of(&files), files, digest: String::new() }
        };
        let layers = [layer("low", "low\n"), layer("top", "# mine\nrack1\n")];
        assert_eq!(host_name(&layers).as_deref(), Some("rack1"));
        assert_eq!(host_name(&[]), None);
    }
}
