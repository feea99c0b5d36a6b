//! `hardware` on the machine that runs the tests, which has a disk.

use crate::support::program::{assert_nothing_left, flipslot, tool};
use flipslot::hardware::Inventory;
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn hardware_prints_an_inventory_or_writes_the_same_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let printed = flipslot(folder.path(), &["hardware"]);
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    let inventory = Inventory::parse(&printed.stdout, "stdout").unwrap();
    assert!(!inventory.disks.is_empty() && !inventory.devices.is_empty() && inventory.memory.is_some());

    fs::write(folder.path().join("old.json"), "old").unwrap();
    symlink("old.json", folder.path().join("link.json")).unwrap();
    for file in ["new.json", "old.json", "link.json"] {
        let written = flipslot(folder.path(), &["hardware", "-o", file]);
        assert_eq!((written.code, written.stdout.as_str()), (0, ""), "{}", written.stderr);
        assert_eq!(fs::read_to_string(folder.path().join(file)).unwrap(), printed.stdout);
    }
    assert!(folder.path().join("link.json").is_symlink());
    assert_nothing_left(folder.path(), &["new.json", "old.json", "link.json"]);

    let named = inventory.disks[0].name.replace('!', "/");
    let same = flipslot(folder.path(), &["hardware", "--disk", &format!("/dev/{named}")]);
    let same = Inventory::parse(&same.stdout, "stdout").unwrap();
    assert_eq!(same.disks, inventory.disks[..1]);
}

#[test]
fn what_is_no_disk_of_this_machine_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("disk.raw"), "").unwrap();
    for (disk, text) in [("disk.raw", "is not a block device"), ("/dev/null", "is not a block device")] {
        let run = flipslot(folder.path(), &["hardware", "--disk", disk, "-o", "x.json"]);
        run.must_end(3, &[disk, text, "next: "]);
    }
    flipslot(folder.path(), &["hardware", "--disk", "gone"]).must_end(1, &["looking at gone", "No such file"]);
    assert_nothing_left(folder.path(), &["disk.raw"]);
}

#[test]
fn an_output_that_cannot_be_written_whole_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    flipslot(folder.path(), &["hardware", "-o", "folder"]).must_end(3, &["folder is not a file", "next: "]);
    flipslot(folder.path(), &["hardware", "-o", "/dev/null"]).must_end(3, &["/dev/null is not a file"]);
    flipslot(folder.path(), &["hardware", "-o", "gone/x.json"]).must_end(1, &["writing gone/x.json", "No such file"]);
    assert_nothing_left(folder.path(), &["folder"]);
}

#[test]
fn a_file_stays_what_it_was_if_the_new_one_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"cd "$1" && mount -t tmpfs -o size=4k none . && cd "$1" && echo old > x.json
        "$2" hardware -o x.json 2>&1; echo "code $?"; cat x.json; ls -A | wc -l"#;
    let (place, program) = (folder.path().to_str().unwrap(), env!("CARGO_BIN_EXE_flipslot"));
    let said = tool("unshare", &["--mount", "sh", "-c", script, "sh", place, program]);
    assert!(said.contains("writing x.json") && said.contains("No space left"), "{said}");
    assert!(said.ends_with("code 1\nold\n1\n"), "{said}");
}
