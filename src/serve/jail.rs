//! A root for dnsmasq, with the programs and libraries of this machine and the folder, so that a link in the folder leads to
//! nothing else: neither to settings nor to data.

use crate::error::Result;
use anyhow::Context;
use rustix::mount::{MountFlags, mount_bind, mount_remount};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Folders of programs and libraries (hier(7)); some are links.
const OF_PROGRAMS: [&str; 5] = ["usr", "bin", "sbin", "lib", "lib64"];
/// List of libraries (ld.so(8)).
const LIBRARIES: &str = "etc/ld.so.cache";
/// Files with the names of the user and group that dnsmasq becomes, and of no others (passwd(5), group(5),
/// nsswitch.conf(5)).
const NAMES: [(&str, &str); 3] = [
    ("etc/passwd", "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\n"),
];

/// Fills `root` with mounts and copies, in a mount namespace of this process; `folder` has its own path in it.
pub fn build(root: &Path, folder: &Path) -> Result<()> {
    for name in OF_PROGRAMS {
        let path = Path::new("/").join(name);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => {
                let target = fs::read_link(&path).with_context(|| format!("reading the link {}", path.display()))?;
                symlink(target, root.join(name)).with_context(|| format!("linking {name} in the root of dnsmasq"))?;
            }
            Ok(_) => show(&path, root)?,
            Err(_) => {}
        }
    }
    if let Ok(bytes) = fs::read(Path::new("/").join(LIBRARIES)) {
        put(root, LIBRARIES, &bytes)?;
    }
    for (name, text) in NAMES {
        put(root, name, text.as_bytes())?;
    }
    for device in ["dev/null", "dev/urandom"] {
        let place = put(root, device, b"")?;
        mount_bind(format!("/{device}"), &place).with_context(|| format!("mounting /{device}"))?;
    }
    show(folder, root)
}

/// Shows a folder in a root, at its own path, to be read only.
fn show(folder: &Path, root: &Path) -> Result<()> {
    let place = root.join(folder.strip_prefix("/").unwrap_or(folder));
    let showing = || format!("showing {} to dnsmasq", folder.display());
    fs::create_dir_all(&place).with_context(showing)?;
    mount_bind(folder, &place).with_context(showing)?;
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount_remount(&place, flags, c"").with_context(showing)
}

fn put(root: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let place = root.join(name);
    let parent = place.parent().unwrap_or(root);
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(&place, bytes))
        .with_context(|| format!("making {}", place.display()))?;
    Ok(place)
}
