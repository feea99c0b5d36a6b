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
    #[allow(clippy::disallowed_methods)] // tests start programs by themselves
    pub fn start() -> Upstream {
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/registry.sh");
        let server = Command::new(script).arg(folder.path().join("registry")).stdout(Stdio::null()).spawn().unwrap();
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
        tool("skopeo", &["copy", "-q", "--preserve-digests", "--dest-tls-verify=false", &from, &to]);
    }
}
