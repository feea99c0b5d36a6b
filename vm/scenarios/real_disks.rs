//! Disks of a real machine, with RAID, LVM, encryption and multipath that are active: refused with the
//! command that releases each, which does; then with what lies on them; and at last not.

use crate::disks::{self, Scratch, Single};
use crate::images;
use crate::machine::Machine;
use crate::setup::{Firmware, Setup};

/// As large as one slot needs, and one MiB.
const SIZE: &str = "132M";
/// The disks and their serial numbers. They come before the machine's own, which is `vdf` then.
const DISKS: [(&str, &str); 5] = [("vda", "lab1"), ("vdb", "lab2"), ("vdc", "lab3"), ("vdd", "lab4"), ("vde", "lab5")];

const BUILD: &[&str] = &[
    "mdadm --create /dev/md0 --run --assume-clean --metadata=1.2 --level=1 --raid-devices=2 /dev/vda missing",
    "pvcreate -qqy /dev/md0; vgcreate -qqy my-vg /dev/md0; lvcreate -qqy -L 40M -n srv my-vg; mke2fs -q /dev/my-vg/srv",
    "mkdir -p /srv/x; mount -o ro /dev/my-vg/srv /srv/x",
    "echo -n key > /run/key; cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /dev/vdb2 /run/key",
    "cryptsetup open --key-file /run/key /dev/vdb2 secret",
    "dmsetup create mpatha --uuid mpath-360000000000000000e --table '0 200000 linear /dev/vdc 0'",
    "mkswap -q /dev/vdd; swapon /dev/vdd",
];

/// Each disk, what must be said of it, and what releases it.
const IN_USE: [(&str, &[&str], &str); 4] = [
    (
        "/dev/disk/by-id/virtio-lab1",
        &[
            "mounted at /srv/x",
            "an LVM volume, is built on md0",
            "md0, an array (md RAID), is built on vda",
            "umount /srv/x; vgchange --activate n my-vg; mdadm --stop /dev/md0",
        ],
        "umount /srv/x; vgchange -qq --activate n my-vg; mdadm -q --stop /dev/md0",
    ),
    (
        "/dev/vdb",
        &["secret (dm-", "an encrypted device (dm-crypt), is built on vdb2", "cryptsetup close secret"],
        "cryptsetup close secret",
    ),
    (
        "/dev/vdc",
        &["mpatha (dm-", "a multipath device, is built on vdc", "multipath -f mpatha"],
        "dmsetup remove mpatha",
    ),
    ("/dev/vdd", &["/dev/vdd is swap", "swapoff /dev/vdd"], "swapoff /dev/vdd"),
];

#[test]
#[ignore = "an image of its own, with LVM and mdadm: make test-all"]
fn disks_that_raid_lvm_encryption_multipath_or_swap_hold_are_refused_until_they_are_released() {
    let layout = images::with_packages("bookworm", &["mdadm", "lvm2", "cryptsetup-bin"]);
    let disk = Single { name: "real-disks", layout: &layout }.made(&["--hardware=qemu"]);
    let (mut more, mut disks): (Vec<String>, Vec<Scratch>) = Default::default();
    for (name, serial) in DISKS {
        let path = Scratch::named(&format!("real-disks-{name}.raw"));
        disks::run("truncate", &["--size", SIZE, &path.to_string_lossy()]);
        if name == "vdb" {
            disks::run("sgdisk", &["--new=1:2048:+64M", "--new=2:0:0", &path.to_string_lossy()]);
        }
        more.extend(["-drive".to_owned(), format!("id={name},if=none,format=raw,file={}", path.display())]);
        more.extend(["-device".to_owned(), format!("virtio-blk-pci,drive={name},serial={serial}")]);
        disks.push(path);
    }
    more.extend(["-device".to_owned(), "ide-cd,bus=ide.1".to_owned()]); // a drive with nothing in it
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let setup = Setup { more: &more, ..Setup::lasting("real-disks", Firmware::Bios, &disk) };
    let _ = std::fs::remove_file(crate::machine::log("real-disks"));
    let mut machine = Machine::start(&setup);
    machine.comes_up('a');
    BUILD.iter().for_each(|line| drop(machine.run(line)));

    let before = digests(&mut machine);
    refused(&mut machine, "/dev/vdf", &["/dev/vdf is the disk that this system runs from (/ is on vdf3)"]);
    refused(&mut machine, "/dev/vdb1", &["/dev/vdb1 is a partition", "/dev/vdb"]);
    refused(&mut machine, "/dev/sr0", &["/dev/sr0 has no medium in it"]);
    refused(&mut machine, "/dev/vde --expect-serial lab4", &["its serial is lab5, not lab4"]);
    for (disk, says, _) in IN_USE {
        refused(&mut machine, disk, says);
    }
    assert_eq!(digests(&mut machine), before, "not a byte has changed");

    for (_, _, release) in IN_USE {
        machine.run(release);
    }
    for (disk, says) in [
        ("/dev/vda --expect-serial lab1", "/dev/vda is a member of a Linux RAID (md): linux_raid_member"),
        ("/dev/vdb --expect-serial lab2", "partition 2 of /dev/vdb is an encrypted device (LUKS): crypto_LUKS"),
        ("/dev/vdb", "cryptsetup luksDump /dev/vdb2"),
        ("/dev/vdd", "/dev/vdd is not empty"),
        ("/dev/vdd", "add --expect-serial lab4"),
    ] {
        refused(&mut machine, disk, &[says]);
    }
    // What is refused now is the image, which is looked for once the disk may be written.
    for disk in [
        "/dev/disk/by-id/virtio-lab1 --expect-serial lab1 --destroy linux_raid_member",
        "/dev/vdb --expect-serial lab2 --destroy crypto_LUKS",
        "/dev/vdc",
        "/dev/vdd --expect-serial lab4",
    ] {
        refused(&mut machine, disk, &["/nowhere is not an OCI image layout"]);
    }
}

fn digests(machine: &mut Machine) -> String {
    let names: Vec<String> = DISKS.iter().map(|(name, _)| format!("/dev/{name}")).collect();
    machine.run(&format!("sha256sum {}", names.join(" ")))
}

fn refused(machine: &mut Machine, disk: &str, says: &[&str]) {
    let said = machine
        .run(&format!("flipslot create {disk} --yes --progress=none --slots=1 --slot=a=oci:/nowhere:1; echo code $?"));
    let said: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in says.iter().chain(&["code 3"]) {
        assert!(said.contains(text), "{disk}: '{text}' is missing in: {said}");
    }
}
