//! `flash` into a disk that does not run: what it writes, judged by other programs, and what it
//! leaves alone.

use crate::cli::images;
use crate::support::disk::{BOOT, DATA, Disk, MIB, NAME, SLOT_A, SLOT_B};
use crate::support::program::{Run, assert_nothing_left, tool};
use crate::support::tree::Tree;
use flipslot::words::digest::Digest;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// What the agent is, below the slot's root: kind, mode, path.
const AGENT: [(char, u32, &str); 9] = [
    ('f', 0o755, "usr/lib/flipslot/flipslot"),
    ('l', 0o777, "usr/bin/flipslot"),
    ('f', 0o644, "usr/lib/systemd/system/flipslot-trial.service"),
    ('f', 0o644, "usr/lib/systemd/system/flipslot-health.service"),
    ('f', 0o644, "usr/lib/systemd/system/flipslot-run.service"),
    ('f', 0o755, "usr/lib/systemd/system-shutdown/flipslot"),
    ('l', 0o777, "usr/lib/systemd/system/sysinit.target.wants/flipslot-trial.service"),
    ('l', 0o777, "usr/lib/systemd/system/basic.target.wants/flipslot-health.service"),
    ('l', 0o777, "usr/lib/systemd/system/multi-user.target.wants/flipslot-run.service"),
];

/// A disk whose slot b was flashed, with nothing said but the image, and what it was before.
struct Flashed {
    disk: Disk,
    run: Run,
    before: Vec<Digest>,
    boot_before: Vec<u8>,
}

fn debian() -> String {
    format!("oci:{}:latest", images::debian().display())
}

fn flashed() -> &'static Flashed {
    static FLASHED: OnceLock<Flashed> = OnceLock::new();
    FLASHED.get_or_init(|| {
        let disk = Disk::shared_with(&images::debian(), "flashed");
        let (before, boot_before) = (disk.content(), disk.bytes(BOOT));
        let run = disk.flash(&debian(), "b", &["--json"]);
        run.must_end(0, &[]);
        assert_nothing_left(disk.folder(), &[NAME]);
        Flashed { disk, run, before, boot_before }
    })
}

#[test]
fn a_flash_changes_no_byte_but_those_of_its_slot_its_entry_and_its_record() {
    let Flashed { disk, before, boot_before, .. } = flashed();
    let table = tool("sgdisk", &["--print", &disk.path().to_string_lossy()]);
    for (name, region) in [("boot", BOOT), ("slot-a", SLOT_A), ("slot-b", SLOT_B), ("data", DATA)] {
        let line = table.lines().find(|line| line.ends_with(&format!(" {name}"))).expect(name);
        let sectors: Vec<u64> = line.split_whitespace().skip(1).take(2).map(|number| number.parse().unwrap()).collect();
        assert_eq!(sectors, [region.start * MIB / 512, region.end * MIB / 512 - 1], "{name}");
    }
    let changed = disk.changed_since(before);
    assert!(changed.iter().all(|mebibyte| BOOT.contains(mebibyte) || SLOT_B.contains(mebibyte)), "{changed:?}");
    assert!(changed.iter().any(|mebibyte| SLOT_B.contains(mebibyte)));

    let may_change: Vec<_> =
        ["slot-b.cfg", "slot-b.json"].iter().flat_map(|name| disk.places(&format!("flipslot/{name}"))).collect();
    assert_eq!(may_change.iter().map(|place| place.end - place.start).sum::<u64>(), 4096 + 16384);
    let boot = disk.bytes(BOOT);
    let changed = (0..).zip(boot.iter().zip(boot_before)).filter(|(_, (now, before))| now != before);
    let changed: Vec<u64> = changed.map(|(offset, _)| offset).collect();
    let outside: Vec<&u64> =
        changed.iter().filter(|offset| !may_change.iter().any(|place| place.contains(offset))).collect();
    assert!(outside.is_empty() && !changed.is_empty(), "bytes of the boot partition: {outside:?}");
}

#[test]
fn what_was_flashed_is_clean_for_sgdisk_e2fsck_and_fsck_vfat() {
    let Flashed { disk, .. } = flashed();
    let table = tool("sgdisk", &["--verify", &disk.path().to_string_lossy()]);
    assert!(table.contains("No problems found") && !table.to_lowercase().contains("warning"), "{table}");
    disk.must_be_clean(&SLOT_A);
    disk.must_be_clean(&SLOT_B);
    let boot = tempfile::NamedTempFile::new().unwrap();
    fs::write(boot.path(), disk.bytes(BOOT)).unwrap();
    let fat = tool("fsck.vfat", &["-n", &boot.path().to_string_lossy()]);
    assert!(!fat.to_lowercase().contains("dirty") && !fat.contains("ifferences"), "{fat}");
}

#[test]
fn status_shows_the_new_image_and_the_next_reset_boots_what_it_did() {
    let Flashed { disk, run, .. } = flashed();
    let result: Value = serde_json::from_str(&run.stdout).expect("stdout is one JSON document");
    let (status, written) = (disk.status(), &result["slots"][0]);
    let slot = &status["slots"][1];
    assert_eq!((&written["slot"], &slot["slot"], &slot["holds"]), (&json!("b"), &json!("b"), &json!("image")));
    for key in ["partition", "partuuid", "size", "reference", "digest", "os", "kernel"] {
        assert_eq!(slot[key], written[key], "{key}");
    }
    assert_eq!(slot["reference"], debian());
    assert_eq!((slot.get("keep"), result.get("carried")), (Some(&Value::Null), None), "nothing runs to carry from");
    for (key, value) in [("proven", "a"), ("wanted", "a"), ("next_boot", "a")] {
        assert_eq!(status[key], value, "{key}");
    }
    assert_eq!((&status["running"], &status["damage"]), (&Value::Null, &Value::Null));
    let text = disk.status_text();
    assert!(text.contains("slot b  Debian GNU/Linux 12 (bookworm), kernel "), "{text}");
    assert!(text.contains("the next reset boots slot a, which is proven"), "{text}");
}

#[test]
fn a_slot_boots_with_the_words_and_for_the_hardware_of_the_other_one_where_nothing_else_is_said() {
    let Flashed { disk, .. } = flashed();
    let record =
        |slot: &str| -> Value { serde_json::from_str(&disk.boot_file(&format!("flipslot/slot-{slot}.json"))).unwrap() };
    let (a, b) = (record("a"), record("b"));
    let words = |record: &Value| -> Vec<String> { serde_json::from_value(record["entry"]["cmdline"].clone()).unwrap() };
    let partuuid = disk.status()["slots"][1]["partuuid"].as_str().unwrap().to_owned();
    assert_eq!(words(&b)[0], format!("root=PARTUUID={partuuid}"));
    assert_ne!(words(&a)[0], words(&b)[0]);
    let own = |record: &Value| -> BTreeSet<String> {
        let words = words(record).into_iter().skip(1);
        words.filter(|word| !word.starts_with("flipslot.slot=")).collect()
    };
    assert_eq!(own(&a), own(&b));
    assert_eq!(b["hardware"], "qemu");

    let entry = disk.boot_file("flipslot/slot-b.cfg");
    for word in [&*words(&b)[0], "flipslot.slot=b", "console=ttyS0,115200", "quiet"] {
        assert!(entry.contains(&format!("'{word}'")), "{word}: {entry}");
    }
    let script = tempfile::NamedTempFile::new().unwrap();
    fs::write(script.path(), &entry).unwrap();
    tool("grub-script-check", &[&script.path().to_string_lossy()]);
}

#[test]
fn a_flashed_slot_has_the_agent_with_its_modes_and_with_links_that_lead_to_it() {
    let Flashed { disk, .. } = flashed();
    let agent: Vec<String> = serde_json::from_value(disk.status()["slots"][1]["agent"].clone()).unwrap();
    assert_eq!(agent, AGENT.map(|(_, _, path)| format!("/{path}")));
    disk.look_into(&SLOT_B, |root| {
        let tree = Tree::of(root);
        for (kind, mode, path) in AGENT {
            let node = tree.at(path);
            assert_eq!((node.kind, node.mode, node.uid, node.gid), (kind, mode, 0, 0), "{path}");
            assert!(fs::canonicalize(root.join(path)).unwrap().starts_with(root), "{path} leads into the slot");
        }
        let program = Digest::of(&fs::read(root.join("usr/bin/flipslot")).unwrap());
        assert_eq!(program, Digest::of(&fs::read(env!("CARGO_BIN_EXE_flipslot")).unwrap()));
    });
}

#[test]
fn without_the_agent_a_slot_has_nothing_that_the_image_has_not() {
    let disk = Disk::with(&images::debian());
    disk.flash(&debian(), "b", &["--no-agent", "--keep=none"]).must_end(0, &[]);
    let slot = &disk.status()["slots"][1];
    assert_eq!((&slot["agent"], &slot["keep"]), (&json!([]), &json!([])));
    assert!(disk.status_text().contains("no agent: no health check, no deadline"));
    let names = |root: &Path| -> BTreeSet<String> { Tree::of(root).names().into_iter().collect() };
    let with = disk.look_into(&SLOT_A, names);
    let without = disk.look_into(&SLOT_B, names);
    let added: BTreeSet<&str> = with.difference(&without).map(String::as_str).collect();
    let folders = ["usr/lib/flipslot", "usr/lib/systemd/system/basic.target.wants"];
    let agent: BTreeSet<&str> = AGENT.iter().map(|(_, _, path)| *path).chain(folders).collect();
    assert_eq!(added, agent);
    assert!(without.is_subset(&with), "{:?}", without.difference(&with));
}

#[test]
fn kernel_words_that_are_said_replace_the_others_and_leave_the_consoles() {
    let disk = Disk::with(&images::debian());
    disk.flash(&debian(), "b", &["--kargs=debug"]).must_end(0, &[]);
    let entry = disk.boot_file("flipslot/slot-b.cfg");
    assert!(entry.contains("'console=ttyS0,115200'") && entry.contains("'debug'"), "{entry}");
    assert!(!entry.contains("quiet"), "{entry}");
    disk.flash(&debian(), "b", &["--console=ttyS1"]).must_end(0, &[]);
    let entry = disk.boot_file("flipslot/slot-b.cfg");
    assert!(entry.contains("'console=ttyS1,115200'") && entry.contains("'quiet'"), "those of the proven slot: {entry}");
    assert!(!entry.contains("ttyS0") && !entry.contains("debug"), "{entry}");
}

#[test]
fn a_dry_run_says_what_would_be_written_and_changes_no_byte() {
    let disk = Disk::with(&images::debian());
    let before = disk.content();
    let run = disk.flash(&debian(), "b", &["--dry-run"]);
    run.must_end(0, &[]);
    for text in [&*debian(), "into slot b of d.raw", "it holds nothing that boots", "slot a stays the fallback"] {
        assert!(run.stdout.contains(text), "'{text}' is missing in:\n{}", run.stdout);
    }
    let run = disk.flash(&debian(), "b", &["--dry-run", "--json"]);
    let plan: Value = serde_json::from_str(&run.stdout).unwrap();
    let fates: Vec<&str> =
        plan["partitions"].as_array().unwrap().iter().map(|part| part["fate"].as_str().unwrap()).collect();
    assert_eq!(fates, ["kept", "changed", "kept", "written", "kept"]);
    let b = &plan["partitions"][3];
    assert_eq!(
        [&b["name"], &b["start"], &b["filesystem"]],
        [&json!("slot-b"), &json!(SLOT_B.start * MIB), &json!("ext4")]
    );
    let stored = plan["images"][0]["stored_bytes"].as_u64().unwrap();
    assert_eq!((&plan["bytes_to_fetch"], stored > 32 * MIB), (&json!(0), true), "it is here already");
    assert_eq!(disk.changed_since(&before), Vec::<u64>::new());
    assert_nothing_left(disk.folder(), &[NAME]);
}
