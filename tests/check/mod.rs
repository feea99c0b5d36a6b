//! What keeps a slot from coming up, told from an image alone: each rule finds its fault, and no other
//! rule does; and nothing is found where nothing is wrong.

mod boot;
pub mod case;
mod debian;
mod disk;
mod docs;
mod fixes;
mod hostile;
mod live;
mod login;
mod own_initramfs;
pub mod sound;
mod start;
mod unprivileged;

use crate::check::case::{Case, check, findings, write};
use flipslot::check::table::RULES;
use std::collections::BTreeSet;

/// Rules about a filesystem, which an image has none of yet: `tests/cli/xfs.rs` makes disks that break
/// them.
const OF_A_DISK: [&str; 4] = ["filesystem-kernel", "filesystem-grub", "filesystem-old-grub", "firmware-missing"];

fn cases() -> Vec<Case> {
    [boot::cases(), boot::initramfs_cases(), start::cases(), start::waiting_cases(), login::cases(), live::cases()]
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn nothing_is_found_in_a_sound_image() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[], &sound::machine());
    let run = check(folder.path(), &["--console=ttyS0"]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert!(findings(&run).is_empty(), "{}", run.stdout);
    let text = crate::support::program::flipslot(
        folder.path(),
        &["check", "oci:image:1", "--hardware=machine.json", "--progress=none"],
    );
    assert_eq!((text.code, text.stderr.as_str()), (0, ""));
    assert!(text.stdout.contains("no open findings"), "{}", text.stdout);
}

#[test]
fn every_rule_has_a_fault_that_it_finds() {
    let tested: BTreeSet<&str> = cases().iter().map(|case| case.rule).chain(OF_A_DISK).collect();
    let rules: BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(tested, rules, "each rule of the table needs a case in tests/check, and each case a rule");
}

#[test]
fn a_rule_that_is_none_or_cannot_mend_is_a_wrong_command_line() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[], &sound::machine());
    check(folder.path(), &["--allow=no-such"]).must_end(2, &["there is no rule 'no-such'", "kernel-missing"]);
    for rule in RULES {
        let run = check(folder.path(), &["--console=ttyS0", &format!("--fix={}", rule.id)]);
        match rule.fix {
            Some(_) => assert_eq!(run.code, 0, "{}: {}", rule.id, run.stderr),
            None => run.must_end(2, &[&format!("flipslot cannot fix '{}'", rule.id), "these rules can be fixed"]),
        }
    }
}
