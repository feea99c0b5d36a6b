//! Rules about what belongs to one machine, but is in an image, where every machine would get it.

use crate::check::subject::{FixContext, Subject};
use crate::error::Result;
use crate::layer::LayerPath;
use crate::root::edit::Edit;
use crate::root::tree::Tree;

const MACHINE_ID: &str = "etc/machine-id";
const SSH: &str = "etc/ssh";
/// Unit that makes new host keys, because an OpenSSH server does not start without any.
const KEYS_UNIT: (&str, &str) =
    ("etc/systemd/system/flipslot-host-keys.service", include_str!("../../../agent/host-keys.service"));
const KEYS_LINKS: [&str; 2] = [
    "etc/systemd/system/ssh.service.wants/flipslot-host-keys.service",
    "etc/systemd/system/sshd.service.wants/flipslot-host-keys.service",
];

/// Finds a machine-id in an image (machine-id(5)).
pub fn machine_id(subject: &Subject) -> Result<Vec<String>> {
    let text = subject.tree.read(MACHINE_ID, 4096)?.unwrap_or_default();
    let is_made_later = ["", "uninitialized"].contains(&text.trim());
    Ok(if is_made_later { Vec::new() } else { vec![format!("/{MACHINE_ID} is not empty")] })
}

/// Empties the machine-id: the first boot makes a new one.
pub fn empty_machine_id(_: &FixContext, root: &mut dyn Edit) -> Result<Vec<String>> {
    root.put_text(&LayerPath::clean(MACHINE_ID.as_bytes())?, b"")?;
    Ok(vec![format!("/{MACHINE_ID} is empty; the first boot makes a new one")])
}

/// Finds the keys in an image by which an ssh server is known.
pub fn host_keys(subject: &Subject) -> Result<Vec<String>> {
    let keys = keys(subject.tree)?;
    Ok(if keys.is_empty() { Vec::new() } else { vec![format!("/{SSH} has host keys: {}", keys.join(" "))] })
}

fn keys(tree: &dyn Tree) -> Result<Vec<String>> {
    let names = tree.list(SSH)?;
    Ok(names.into_iter().filter(|name| name.starts_with("ssh_host_") && name.ends_with("_key")).collect())
}

/// Removes the host keys, and lets the first boot make new ones.
pub fn remove_host_keys(_: &FixContext, root: &mut dyn Edit) -> Result<Vec<String>> {
    let mut done = Vec::new();
    for key in keys(root)? {
        for name in [format!("{key}.pub"), key] {
            root.remove(&LayerPath::clean(format!("{SSH}/{name}").as_bytes())?)?;
            done.push(format!("removed /{SSH}/{name}"));
        }
    }
    let (path, text) = KEYS_UNIT;
    root.put_text(&LayerPath::clean(path.as_bytes())?, text.as_bytes())?;
    for link in KEYS_LINKS {
        root.put_symlink(&LayerPath::clean(link.as_bytes())?, b"../flipslot-host-keys.service")?;
    }
    done.push("the first boot makes new ones (flipslot-host-keys.service)".to_owned());
    Ok(done)
}
