//! Disks made by the real program, each once.

use crate::images;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Debian 12 in slot a, Debian 13 in slot b, for QEMU's own hardware.
pub fn qemu() -> &'static Path {
    static DISK: OnceLock<PathBuf> = OnceLock::new();
    DISK.get_or_init(|| create("qemu", &["--hardware", "qemu"]))
}

/// The same for any hardware, with a console where QEMU shows it.
pub fn generic() -> &'static Path {
    static DISK: OnceLock<PathBuf> = OnceLock::new();
    DISK.get_or_init(|| create("generic", &["--hardware", "generic", "--console", "ttyS0"]))
}

/// A copy of the disk for QEMU, for machines that keep what they write; their log begins anew.
pub fn lasting(name: &str) -> PathBuf {
    let _ = std::fs::remove_file(crate::machine::log(name));
    copy(qemu(), name)
}

/// A copy of `disk` that a scenario may damage.
pub fn copy(disk: &Path, name: &str) -> PathBuf {
    let path = folder().join(format!("{name}.raw"));
    run("cp", &["--sparse=always", "--reflink=auto", &disk.to_string_lossy(), &path.to_string_lossy()]);
    path
}

/// Runs a program that must succeed; returns what it printed.
#[allow(clippy::disallowed_methods)] // tests start programs by themselves
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?} failed:\n{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn create(name: &str, more: &[&str]) -> PathBuf {
    let path = folder().join(format!("{name}.raw"));
    let slots = [("a", "bookworm"), ("b", "trixie")]
        .map(|(slot, suite)| format!("--slot={slot}=oci:{}:latest", images::layout(suite).display()));
    let disk = path.to_string_lossy();
    let mut arguments = vec!["create", &disk, "--size=4GiB", "--yes", "--progress=plain", &slots[0], &slots[1]];
    arguments.extend(more);
    run(env!("CARGO_BIN_EXE_flipslot"), &arguments);
    path
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vm");
    std::fs::create_dir_all(&folder).expect("the folder of the disks can be made");
    folder
}
