//! The rule about SELinux: a system that enforces it must have labels to go by.

use crate::check::subject::Subject;
use crate::error::Result;
use crate::root::tree::Last;

/// File in which a system says whether it enforces SELinux (selinux(8)).
const CONFIG: &str = "etc/selinux/config";
/// Files that every policy labels.
const LABELLED: [&str; 3] = ["etc/passwd", "usr/lib/systemd/systemd", "usr/sbin/init"];

/// Finds a slot that enforces SELinux, but has files without labels.
pub fn unlabelled(subject: &Subject) -> Result<Vec<String>> {
    let text = subject.tree.read(CONFIG, 64 << 10)?.unwrap_or_default();
    let mode = text.lines().filter_map(|line| line.trim().strip_prefix("SELINUX=")).next_back().map(str::trim);
    let is_off = ["0"].contains(&subject.word("enforcing").unwrap_or("1")) || subject.word("selinux") == Some("0");
    if mode != Some("enforcing") || is_off {
        return Ok(Vec::new());
    }
    let mut unlabelled = Vec::new();
    for path in LABELLED {
        if subject.tree.look(path, Last::Follow)?.is_some_and(|found| !found.labelled) {
            unlabelled.push(format!("/{path}"));
        }
    }
    Ok(if unlabelled.is_empty() {
        Vec::new()
    } else {
        vec![format!("/{CONFIG} enforces SELinux, and these have no label: {}", unlabelled.join(" "))]
    })
}

/// Returns the word with which the kernel reports what it would forbid, but forbids nothing (kernel:
/// admin-guide/kernel-parameters.txt).
pub fn permissive(_: &Subject) -> Vec<String> {
    vec!["enforcing=0".to_owned()]
}
