//! A sysfs that no kernel makes: it ends with a sentence, and soon.

use super::tree::{Q35, Tree};
use flipslot::error::{Kind, kind};
use flipslot::hardware::Sysfs;

const VDA: &str = "devices/pci0000:00/0000:00:02.0/virtio0/block/vda";

fn refusal(tree: &Tree, boot: &str) -> String {
    let error = tree.booting(boot).unwrap_err();
    assert_ne!(kind(&error), Kind::Usage);
    format!("{error:#}")
}

#[test]
fn devices_that_are_built_on_each_other_end_with_a_sentence() {
    let tree = Tree::of(Q35)
        .with("l devices/virtual/block/dm-7/slaves/dm-8 ../../dm-8")
        .with("l devices/virtual/block/dm-8/slaves/dm-7 ../../dm-7")
        .with("l class/block/dm-7 ../../devices/virtual/block/dm-7");
    assert!(refusal(&tree, "dm-7").contains("is not on a disk"));
    let tree = tree.with("l devices/virtual/block/dm-8/slaves/vda ../../../../../class/block/vda");
    assert_eq!(tree.way_to("dm-7"), tree.way_to("vda"));
}

#[test]
fn links_that_loop_or_lead_out_are_not_followed() {
    let tree = Tree::of(Q35)
        .with("l class/block/round ../block/round")
        .with("l class/block/out ../../../../../etc")
        .with(&format!("l {VDA}/slaves/out ../../../../../../../../../etc"))
        .with("l class/net/round ../net/round")
        .with("l devices/pci0000:00/0000:00:02.0/driver ../0000:00:02.0/driver");
    assert_eq!(["round", "out", "../../../etc", ""].map(|name| tree.sysfs().named(name)), [const { None }; 4]);
    assert_eq!(tree.way_to("vda").len(), 2);
}

#[test]
fn what_is_missing_is_left_out_and_what_must_be_there_is_named() {
    let tree = Tree::of(Q35)
        .without("class/net")
        .without("class/watchdog")
        .without("class/tty")
        .without("devices/virtual/dmi")
        .without("devices/pci0000:00/0000:00:02.0/driver")
        .without(&format!("{VDA}/queue"));
    let inventory = tree.booting("vda").unwrap();
    assert_eq!((inventory.devices.len(), inventory.devices[0].driver.as_deref()), (2, None));
    assert_eq!(inventory.machine, "unknown machine");
    assert!(inventory.consoles.is_empty() && inventory.watchdogs.is_empty());
    assert_eq!(inventory.disks[0].logical_block_size, 512);
    for size in ["-1", "18446744073709551615", "many"] {
        let tree = Tree::of(Q35).with(&format!("f {VDA}/size {size}"));
        assert!(refusal(&tree, "vda").contains("size of vda"));
    }
    let nothing = tempfile::tempdir().unwrap();
    assert!(format!("{:#}", Sysfs::at(nothing.path()).unwrap_err()).contains("devices"));
}

#[test]
fn a_disk_in_memory_or_across_a_network_is_refused() {
    let tree = Tree::of(Q35)
        .with("l class/block/zram0 ../../devices/virtual/block/zram0")
        .with("f devices/virtual/block/zram0/size 8")
        // iSCSI, as drivers/scsi/scsi_transport_iscsi.c puts it into the tree.
        .with("f devices/platform/host9/session1/target9:0:0/9:0:0:0/modalias scsi:t-0x00")
        .with("f devices/platform/host9/session1/target9:0:0/9:0:0:0/block/sdx/size 8")
        .with("l class/block/sdx ../../devices/platform/host9/session1/target9:0:0/9:0:0:0/block/sdx");
    for disk in ["zram0", "sdx"] {
        assert!(refusal(&tree, disk).starts_with(&format!("{disk} is not attached to a device")), "{disk}");
        assert!(!tree.sysfs().is_hardware(&tree.block(disk)));
    }
    assert!(tree.sysfs().is_hardware(&tree.block("dm-1")));
}

#[test]
fn more_devices_than_a_disk_can_lie_on_are_refused() {
    let mut tree = Tree::of(Q35).with("l class/block/dm-9 ../../devices/virtual/block/dm-9");
    for number in 0..1100 {
        tree = tree
            .with(&format!("d devices/virtual/block/x{number}"))
            .with(&format!("l devices/virtual/block/dm-9/slaves/x{number} ../../x{number}"));
    }
    assert!(refusal(&tree, "dm-9").contains("more than 1024 devices"));
}
