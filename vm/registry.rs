//! A registry on this machine, with the test images in it, for guests to pull from.

use crate::disks::run;
use crate::images;
use crate::machine::Machine;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// A registry that ends with the test.
pub struct Registry {
    server: Child,
    /// Its port on this machine.
    pub port: String,
    _folder: tempfile::TempDir,
}

impl Registry {
    /// Starts it and pushes Debian 13 to `os/debian:13`.
    #[allow(clippy::disallowed_methods)] // tests start programs by themselves
    pub fn start() -> Registry {
        let folder = tempfile::tempdir().expect("a folder for the registry");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/registry.sh");
        let mut command = Command::new(script);
        let server = command.arg(folder.path()).stdout(Stdio::null()).spawn().expect("the registry can be started");
        let address = loop {
            match std::fs::read_to_string(folder.path().join("address")) {
                Ok(address) => break address.trim().to_owned(),
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        };
        let port = address.rsplit(':').next().expect("host:port").to_owned();
        let registry = Registry { server, port, _folder: folder };
        let from = format!("oci:{}:latest", images::layout("trixie").display());
        run("skopeo", &["copy", "-q", "--dest-tls-verify=false", &from, &format!("docker://{address}/os/debian:13")]);
        registry
    }
}

impl Registry {
    /// Debian 13 there, as a guest with [`NETWORK`] names it to flipslot.
    pub fn debian_13(&self) -> String {
        format!("docker://10.0.2.2:{}/os/debian:13 --plain-http 10.0.2.2:{0}", self.port)
    }
}

/// Network card of a guest that reaches this machine as 10.0.2.2. Its ROM would look for a server for a second.
pub const NETWORK: [&str; 4] = ["-netdev", "user,id=network", "-device", "virtio-net-pci,netdev=network,romfile="];

/// Gives the guest's only network card its address.
pub fn bring_network_up(guest: &mut Machine) {
    guest.run("i=$(ls /sys/class/net | grep -v lo); ip link set $i up; ip addr add 10.0.2.15/24 dev $i");
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
