//! `check` of a slot that is written, for its own machine and for another one; nothing is changed.

use crate::check::case::findings;
use crate::check::sound::device;
use crate::cli::images;
use crate::support::disk::{Disk, NAME};
use crate::support::layout::ImageLayout;
use crate::support::program::{Run, assert_nothing_left, flipslot};
use crate::support::tar::{Tar, dir, file};
use serde_json::{Value, json};
use std::fs;

fn rules(run: &Run) -> Vec<String> {
    findings(run).iter().map(|found| found["rule"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_slot_is_judged_as_its_image_was_and_for_any_machine_and_not_changed() {
    let disk = Disk::with(&images::debian());
    let before = disk.content();
    let check = |more: &[&str]| {
        let words = ["check", "--disk", NAME, "--slot=a", "--progress=none", "--json"];
        flipslot(disk.folder(), &[&words[..], more].concat())
    };
    let image = format!("oci:{}:latest", images::debian().display());
    let words = ["check", &image, "--hardware=qemu", "--progress=none", "--json"];
    let of_image = flipslot(disk.folder(), &words);
    let of_slot = check(&["--hardware=qemu"]);
    assert_eq!((rules(&of_slot), of_slot.code), (rules(&of_image), 0), "{}", of_slot.stderr);

    assert_eq!(check(&[]).stdout, of_slot.stdout, "it was written for QEMU");

    let modalias = "pci:v00001000d00000060sv00001014sd00000363bc01sc04i00";
    let machine = json!({ "version": 1, "machine": "RAID", "devices": [device("boot", modalias, "megaraid_sas")] });
    fs::write(disk.folder().join("raid.json"), machine.to_string()).unwrap();
    let other = check(&["--hardware=raid.json"]);
    assert_eq!(other.code, 1);
    assert_eq!(rules(&other), ["driver-missing", "reachable"]);
    let found = findings(&other)[0]["found"].to_string();
    assert!(found.contains(modalias) && found.contains("megaraid_sas is only in the root filesystem"), "{found}");
    assert_eq!(check(&["--hardware=qemu", "--strict"]).code, 1);
    assert_eq!(check(&["--hardware=qemu", "--strict", "--allow=reachable"]).code, 0);

    let empty = ["check", "--disk", NAME, "--slot=b", "--hardware=qemu"];
    flipslot(disk.folder(), &empty).must_end(3, &["slot b of d.raw holds no complete image", "flipslot flash"]);
    let none = ["check", "--disk", NAME, "--slot=x", "--hardware=qemu"];
    assert_ne!(flipslot(disk.folder(), &none).code, 0);
    assert!(disk.changed_since(&before).is_empty(), "check writes nothing");
    assert_nothing_left(disk.folder(), &[NAME, "raid.json"]);
}

#[test]
fn firmware_that_a_driver_may_ask_for_is_looked_for_in_the_slot_and_in_its_initramfs() {
    // Both drivers are of Debian's kernel; the first names files such as ql2500_fw.bin.
    let devices = [
        device("boot", "pci:v00001077d00002532sv00001077sd0000015Dbc0Csc04i00", "qla2xxx"),
        device("boot", "scsi:t-0x00", "sd_mod"),
    ];
    let machine = json!({ "version": 1, "machine": "SAN", "devices": devices });
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("san.json"), machine.to_string()).unwrap();
    let firmware = Tar::of([dir("usr/lib/firmware"), file("usr/lib/firmware/ql2500_fw.bin", "firmware")]);
    for (layers, says) in [(Vec::new(), Some("the slot has none of it")), (vec![firmware], None)] {
        ImageLayout::over(&images::debian(), &layers).write(&folder.path().join("image"), "1");
        let words = ["create", NAME, "--yes", "--size=1600MiB", "--slots=1", "--slot=a=oci:image:1", "--json"];
        let run = flipslot(folder.path(), &[&words[..], &["--hardware=san.json", "--progress=none"]].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
        let result: Value = serde_json::from_str(&run.stdout).unwrap();
        let found = result["slots"][0]["findings"].as_array().unwrap().clone();
        let found = found.iter().find(|found| found["rule"] == "firmware-missing");
        assert_eq!(found.is_some(), says.is_some(), "{result:#}");
        if let (Some(found), Some(says)) = (found, says) {
            let text = found["found"].as_str().unwrap();
            assert!(text.contains("qla2xxx") && text.contains(says) && text.contains("ql2100_fw.bin"), "{text}");
        }
        let elsewhere = flipslot(folder.path(), &["check", "--disk", NAME, "--slot=a", "--progress=none"]);
        elsewhere.must_end(2, &["the slot was written for 'SAN'", "--hardware FILE"]);
        fs::remove_dir_all(folder.path().join("image")).unwrap();
    }
}

#[test]
fn f7_an_fstab_that_names_the_other_slot_is_refused_and_one_that_names_the_boot_partition_is_not() {
    let disk = Disk::with(&images::debian());
    let entry = disk.boot_file("flipslot/slot-a.cfg");
    let id = entry.split_once("root=PARTUUID=").unwrap().1[..36].to_owned();
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "PARTUUID={id} /other ext4 defaults 0 0\nLABEL=FLIPSLOT /efi vfat defaults 0 0\nPARTLABEL=slot-b / ext4 defaults 0 0\n"
    );
    ImageLayout::over(&images::debian(), &[Tar::of([file("etc/fstab", text)])]).write(folder.path(), "1");
    let image = format!("oci:{}:1", folder.path().display());
    let run = disk.flash(&image, "b", &[]);
    run.must_end(1, &["/etc/fstab line 1 names PARTUUID=", "which is slot a", "--fix fstab"]);
    assert!(!run.stderr.contains("line 2") && !run.stderr.contains("line 3"), "{}", run.stderr);
}
