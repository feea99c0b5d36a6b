//! From each kind of disk to the root of the device tree.

use super::tree::{MICROVM, Q35, Tree};
use flipslot::hardware::inventory::{Firmware, Role};

/// Names of disks, in order.
fn disks(tree: &Tree, boot: &str) -> Vec<String> {
    tree.booting(boot).unwrap().disks.into_iter().map(|disk| disk.name).collect()
}

#[test]
fn a_virtio_disk_needs_its_card_and_itself() {
    let inventory = Tree::of(Q35).booting("vda").unwrap();
    let first = &inventory.devices[0];
    assert_eq!(first.modalias, "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00");
    assert_eq!((first.driver.as_deref(), first.module.as_deref()), (Some("virtio-pci"), Some("virtio_pci")));
    assert_eq!(
        Tree::of(Q35).way_to("vda"),
        ["pci0000:00/0000:00:02.0 virtio_pci", "pci0000:00/0000:00:02.0/virtio0 virtio_blk"]
    );
    let disk = &inventory.disks[0];
    assert_eq!((disk.name.as_str(), disk.size, disk.logical_block_size), ("vda", 3 << 30, 512));
    assert_eq!((disk.model.as_deref(), disk.serial.as_deref()), (None, Some("flipslot-boot")));
}

#[test]
fn a_partition_counts_as_its_disk() {
    let tree = Tree::of(Q35);
    assert_eq!(tree.booting("vda3").unwrap(), tree.booting("vda").unwrap());
    assert!(tree.block("vda3").is_partition() && !tree.block("vda").is_partition());
    assert_eq!(tree.booting("md0p1").unwrap(), tree.booting("md0").unwrap());
}

#[test]
fn a_disk_behind_a_bridge_needs_the_bridge() {
    assert_eq!(
        Tree::of(Q35).way_to("sdf"),
        [
            "pci0000:00/0000:00:05.0 -",
            "pci0000:00/0000:00:05.0/0000:01:00.0 ahci",
            "pci0000:00/0000:00:05.0/0000:01:00.0/ata7/host10/target10:0:0/10:0:0:0 sd_mod",
        ]
    );
}

#[test]
fn a_raid_needs_the_controllers_of_all_its_disks() {
    let tree = Tree::of(Q35);
    let both = [tree.way_to("sdf"), tree.way_to("sde")].concat();
    assert_eq!(tree.way_to("md0"), both);
    assert_eq!(disks(&tree, "md0"), ["sde", "sdf"]);
}

#[test]
fn lvm_on_multipath_needs_every_way_to_the_disk() {
    let tree = Tree::of(Q35);
    let both = [tree.way_to("sda"), tree.way_to("sdb")].concat();
    assert!(both.iter().filter(|device| device.ends_with("virtio_scsi")).count() == 2, "{both:?}");
    assert_eq!(tree.way_to("dm-0"), both);
    assert_eq!(tree.way_to("dm-1"), both);
    assert_eq!(disks(&tree, "dm-1"), ["sda", "sdb"]);
}

#[test]
fn an_nvme_disk_with_two_controllers_needs_both() {
    let tree = Tree::of(Q35);
    let both =
        ["pci0000:00/0000:00:06.0 nvme", "pci0000:00/0000:00:07.0 -", "pci0000:00/0000:00:07.0/0000:02:00.0 nvme"];
    assert_eq!(tree.way_to("nvme0n1"), both);
    assert_eq!(tree.way_to("nvme0n1p1"), both);
    assert_eq!(disks(&tree, "nvme0n1p1"), ["nvme0n1"]);
    let disk = tree.booting("nvme0n1").unwrap().disks.remove(0);
    assert_eq!((disk.model.as_deref(), disk.serial.as_deref()), (Some("QEMU NVMe Ctrl"), Some("NVME-1")));
    assert_eq!(tree.way_to("nvme1n1"), ["pci0000:00/0000:00:08.0 nvme"]);
}

#[test]
fn a_usb_disk_needs_the_host_controller_the_interface_and_the_disk() {
    assert_eq!(
        Tree::of(Q35).way_to("sdg"),
        [
            "pci0000:00/0000:00:0d.0 xhci_pci",
            "pci0000:00/0000:00:0d.0/usb2/2-1/2-1:1.0 usb_storage",
            "pci0000:00/0000:00:0d.0/usb2/2-1/2-1:1.0/host16/target16:0:0/16:0:0:0 sd_mod",
        ]
    );
}

#[test]
fn a_card_on_the_way_to_both_disk_and_network_is_for_booting() {
    let role = |boot: &str| {
        let devices = Tree::of(Q35).booting(boot).unwrap().devices;
        let xhci: Vec<Role> = devices.iter().filter(|it| it.path.ends_with("0000:00:0d.0")).map(|it| it.role).collect();
        xhci
    };
    assert_eq!(role("vda"), [Role::Network]);
    assert_eq!(role("sdg"), [Role::Boot]);
}

#[test]
fn network_cards_are_listed_and_interfaces_without_one_are_not() {
    let inventory = Tree::of(Q35).booting("vda").unwrap();
    let network = inventory.devices.iter().filter(|device| device.role == Role::Network);
    let modules: Vec<&str> = network.filter_map(|device| device.module.as_deref()).collect();
    assert_eq!(modules, ["xhci_pci", "cdc_subset", "e1000e", "virtio_pci", "virtio_net"]);
}

#[test]
fn a_machine_says_what_it_is() {
    let tree = Tree::of(Q35);
    let pc = tree.booting("vda").unwrap();
    assert_eq!(pc.machine, "QEMU Standard PC (Q35 + ICH9, 2009)");
    assert_eq!((pc.firmware, pc.kexec), (Some(Firmware::Bios), Some(true)));
    assert_eq!(pc.watchdogs, ["i6300ESB timer", "iTCO_wdt"]);
    assert_eq!(pc.consoles, ["ttyS0"]);
    let uefi = tree.with("d firmware/efi").without("kernel/kexec_loaded").booting("vda").unwrap();
    assert_eq!((uefi.firmware, uefi.kexec), (Some(Firmware::Uefi), Some(false)));
}

#[test]
fn a_machine_without_dmi_and_pci_is_read_as_well() {
    let tree = Tree::of(MICROVM);
    let inventory = tree.booting("vda").unwrap();
    assert_eq!((inventory.machine.as_str(), inventory.firmware), ("unknown machine", None));
    let boot = inventory.devices.iter().filter(|device| device.role == Role::Boot);
    let modalias: Vec<&str> = boot.map(|device| device.modalias.as_str()).collect();
    assert_eq!(modalias, ["acpi:LNRO0005:", "virtio:d00000002v554D4551"]);
    let board = tree.with("f firmware/devicetree/base/model Raspberry Pi 4\0").booting("vda").unwrap();
    assert_eq!(board.machine, "Raspberry Pi 4");
}

#[test]
fn screens_are_no_consoles_and_the_order_stays() {
    let of = |active: &str| {
        Tree::of(Q35).with(&format!("f class/tty/console/active {active}")).booting("vda").unwrap().consoles
    };
    assert_eq!(of("tty0 ttyS1 ttyS0"), ["ttyS1", "ttyS0"]);
    assert_eq!(of("ttyAMA0 tty1 hvc0 ttyAMA0"), ["ttyAMA0", "hvc0"]);
    assert!(of("tty0").is_empty());
}

#[test]
fn the_same_tree_gives_the_same_inventory_and_no_device_twice() {
    let (one, two) = (Tree::of(Q35), Tree::of(Q35));
    let all = |tree: &Tree| tree.sysfs().inventory(&tree.sysfs().real_disks()).unwrap();
    assert_eq!(all(&one), all(&two));
    let mut paths: Vec<String> = all(&one).devices.into_iter().map(|device| device.path).collect();
    let count = paths.len();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), count);
}

#[test]
fn real_disks_are_neither_built_on_others_nor_parts_nor_too_small() {
    let tree = Tree::of(Q35); // vdb has 19 MiB
    let names: Vec<String> = tree.sysfs().real_disks().iter().map(|disk| disk.name()).collect();
    assert_eq!(names, ["sda", "sdb", "sdc", "sdd", "sde", "sdf", "sdg", "vda", "vdc", "nvme0n1", "nvme1n1"]);
}

#[test]
fn a_btrfs_lies_on_all_its_devices() {
    let tree = Tree::of(Q35)
        .with("l fs/btrfs/0b0e/devices/sdc ../../../../class/block/sdc")
        .with("l fs/btrfs/1c2d/devices/vda3 ../../../../class/block/vda3")
        .with("l fs/btrfs/1c2d/devices/sdd ../../../../class/block/sdd");
    assert_eq!(tree.sysfs().btrfs_around(tree.block("vda3")), [tree.block("sdd"), tree.block("vda3")]);
    assert_eq!(tree.sysfs().btrfs_around(tree.block("sde")), [tree.block("sde")]);
}

#[test]
fn a_device_is_known_by_its_numbers() {
    let sysfs = Tree::of(Q35);
    assert_eq!(sysfs.sysfs().numbered(254, 0).map(|block| block.name()).as_deref(), Some("vda"));
    assert_eq!(sysfs.sysfs().numbered(254, 99), None);
}
