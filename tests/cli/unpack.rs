//! The process that unpacks layers, seen from outside while it waits for a registry that says nothing more.

use crate::cli::images;
use crate::support::program::{Guard, command};
use crate::support::registry::{Fault, Registry};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The process whose command line has the word, and that descends from `parent`.
fn descendant(parent: u32, word: &str) -> Option<PathBuf> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    children.split_whitespace().find_map(|child| {
        let place = Path::new("/proc").join(child);
        let line = fs::read(place.join("cmdline")).unwrap_or_default();
        // unshare(1) has the word among its arguments, too.
        let is_it = line.split(|byte| *byte == 0).nth(1) == Some(word.as_bytes());
        if is_it { Some(place) } else { descendant(child.parse().ok()?, word) }
    })
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

#[test]
fn the_process_that_unpacks_has_no_network_no_other_files_and_few_calls() {
    let folder = tempfile::tempdir().unwrap();
    images::bulky(3 << 20).write(&folder.path().join("image"), "1");
    let registry = Registry::start(&folder.path().join("image"), Fault::Stall(1 << 20));
    let slot = format!("--slot=a=docker://{}/x/y:1", registry.address);
    let mut create = command(folder.path(), &["create", "d.raw", "--size=600MiB", "--no-cache", &slot]);
    let create = Guard(create.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let begin = Instant::now();
    let process = loop {
        let found = descendant(create.0.id(), "unpack-layers");
        // It waits once its walls are up: seccomp is the last of them.
        let status = found.as_ref().and_then(|process| fs::read_to_string(process.join("status")).ok());
        if let Some(process) = found.filter(|_| status.is_some_and(|status| status.contains("Seccomp:\t2"))) {
            break process;
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "no process unpacks");
        std::thread::sleep(Duration::from_millis(20));
    };
    let status = fs::read_to_string(process.join("status")).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!(field("NoNewPrivs:"), "1");
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SYS_ADMIN, MKNOD, SETFCAP, MAC_ADMIN (linux/capability.h).
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        assert_eq!(
            u64::from_str_radix(&field(set), 16).unwrap(),
            0x1b | 1 << 21 | 1 << 27 | 1 << 31 | 1 << 33,
            "{set}"
        );
    }
    for set in ["CapInh:", "CapAmb:"] {
        assert_eq!(u64::from_str_radix(&field(set), 16).unwrap(), 0, "{set}");
    }
    for namespace in ["mnt", "net", "pid", "ipc", "uts"] {
        let of = |process: &Path| fs::read_link(process.join("ns").join(namespace)).unwrap();
        assert_ne!(of(&process), of(Path::new("/proc/self")), "{namespace}");
    }
    assert_eq!(names(&process.join("root")), ["proc", "slot"]);
    assert!(
        names(&process.join("fd")).iter().all(|fd| ["0", "1", "2"].contains(&fd.as_str()) || is_in_slot(&process, fd))
    );
    let devices = fs::read_to_string(process.join("net/dev")).unwrap();
    assert_eq!(devices.lines().count(), 3, "two lines of titles and lo, which is down: {devices}");
}

/// Returns true for a descriptor of the slot, which it holds while it writes there; it may have closed it by now.
fn is_in_slot(process: &Path, fd: &str) -> bool {
    fs::read_link(process.join("fd").join(fd)).map_or_else(
        |error| error.kind() == std::io::ErrorKind::NotFound && process.join("fd").exists(),
        |target| target.starts_with("/slot"),
    )
}
