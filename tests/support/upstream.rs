//! Debian's docker-registry without TLS.

use crate::support::program::{Guard, tool};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A real registry that runs until the test ends.
pub struct Upstream {
    _process: Guard,
    /// host:port.
    pub address: String,
    /// A folder for what the test needs beside it.
    pub folder: TempDir,
}

impl Upstream {
    /// Starts an empty registry on a free port.
    pub fn start() -> Upstream {
        Upstream::start_with(&[])
    }

    /// Starts one that wants user and secret as name and password.
    pub fn with_password() -> Upstream {
        Upstream::start_with(&[&tool("htpasswd", &["-Bbn", "user", "secret"])])
    }

    #[allow(clippy::disallowed_methods)] // tests start programs by themselves
    fn start_with(more: &[&str]) -> Upstream {
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/registry.sh");
        let mut registry = Command::new(script);
        let registry = registry.arg(folder.path().join("registry")).args(more).stdout(Stdio::null());
        let server = registry.spawn().unwrap();
        let process = Guard(server);
        let begin = Instant::now();
        let address = loop {
            if let Ok(address) = fs::read_to_string(folder.path().join("registry/address")) {
                break address.trim().to_owned();
            }
            assert!(begin.elapsed() < Duration::from_secs(300), "the registry does not come up");
            std::thread::sleep(Duration::from_millis(50));
        };
        Upstream { _process: process, address, folder }
    }

    /// Pushes the image with the tag 1 of a layout, without a change to its digest.
    pub fn push(&self, layout: &Path, name: &str) {
        let (from, to) = (format!("oci:{}:1", layout.display()), format!("docker://{}/{name}", self.address));
        let login = "--dest-creds=user:secret"; // a registry without a password ignores it
        tool("skopeo", &["copy", "-q", "--preserve-digests", "--dest-tls-verify=false", login, &from, &to]);
    }
}
