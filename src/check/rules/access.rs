//! Rules about ways into a system that has come up: network, ssh, passwords. A missing one is reported and
//! never added: the image decides who may log in.

use crate::check::subject::Subject;
use crate::check::units::is_enabled;
use crate::error::Result;
use crate::root::tree::Tree;

/// Units that bring up a network.
const NETWORK: [&str; 8] = [
    "systemd-networkd.service",
    "NetworkManager.service",
    "networking.service",
    "dhcpcd.service",
    "connman.service",
    "wicked.service",
    "ifplugd.service",
    "netplan-configure.service",
];
/// Units that accept logins over the network.
const REMOTE: [&str; 6] =
    ["ssh.service", "sshd.service", "ssh.socket", "sshd.socket", "dropbear.service", "tailscaled.service"];
/// Units that set up users and networks at the first boot, from data that is provided then.
const FIRST_BOOT: [&str; 3] = ["cloud-init.service", "ignition-firstboot-complete.service", "cloud-init-main.service"];
/// The most home directories that are examined, which is more than a slot has before its first boot.
const ENTRIES_MAX: usize = 1000;
/// The most bytes that are read of shadow(5) or passwd(5), which is more than either has.
const LONGEST: u64 = 1 << 20;

/// Finds a slot in which nothing brings up a network, or nothing accepts logins over it.
pub fn unreachable(subject: &Subject) -> Result<Vec<String>> {
    let tree = subject.tree;
    if any(tree, &FIRST_BOOT)? {
        return Ok(Vec::new());
    }
    Ok(match (any(tree, &NETWORK)?, any(tree, &REMOTE)?) {
        (true, true) => Vec::new(),
        (true, false) => vec!["no ssh server is enabled".to_owned()],
        (false, true) => vec!["no network service is enabled".to_owned()],
        (false, false) => vec!["neither a network service nor an ssh server is enabled".to_owned()],
    })
}

fn any(tree: &dyn Tree, units: &[&str]) -> Result<bool> {
    for name in units {
        if is_enabled(tree, name)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Finds a slot in which no user has a password or a key.
pub fn locked(subject: &Subject) -> Result<Vec<String>> {
    let tree = subject.tree;
    let has_keys = |home: &str| tree.has_file(&format!("{home}/.ssh/authorized_keys"));
    let homes = tree.list("home")?;
    let by_key = has_keys("root") || homes.iter().take(ENTRIES_MAX).any(|name| has_keys(&format!("home/{name}")));
    if by_key || any(tree, &FIRST_BOOT)? {
        return Ok(Vec::new());
    }
    let table = match tree.read("etc/shadow", LONGEST)? {
        Some(shadow) => shadow,
        None => tree.read("etc/passwd", LONGEST)?.unwrap_or_default(),
    };
    let mut locked_root = table.is_empty();
    for line in table.lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(password)) = (fields.next(), fields.next()) else { continue };
        // An empty field lets everybody in, '!' and '*' let nobody in (shadow(5)); 'x' says nothing.
        if !password.starts_with(['!', '*']) && password != "x" {
            return Ok(Vec::new());
        }
        locked_root |= name == "root";
    }
    Ok(if locked_root { vec!["root is locked, and no user has a password or a key".to_owned()] } else { Vec::new() })
}
