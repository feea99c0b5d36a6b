//! Inventories of QEMU's machines: taken inside them, by the program that is tested; or written by
//! hand, where a test is about what they say.

use crate::bus::Bus;
use crate::disks;
use crate::scenarios::boots::boot_slot;
use crate::setup::{Firmware, Setup};
use flipslot::hardware::Inventory;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Boots the disk for any hardware on `bus`, once, and returns a file with what `flipslot hardware` prints there.
pub fn of(bus: Bus) -> &'static Path {
    static TAKEN: [OnceLock<PathBuf>; Bus::ALL.len()] = [const { OnceLock::new() }; Bus::ALL.len()];
    let place = Bus::ALL.iter().position(|other| *other == bus).expect("it is one of all");
    TAKEN[place].get_or_init(|| {
        let name = format!("hardware-{bus}");
        let setup = Setup::once(&name, Firmware::Bios, bus, disks::generic());
        let mut machine = boot_slot(&setup, 'a', "Debian GNU/Linux 12");
        machine.log_in();
        let root = machine.run("findmnt -no SOURCE /");
        assert_eq!(root, format!("{}3", bus.first_partition_prefix()), "{name}");
        assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "{name}: no unit has failed");
        let text = machine.run("flipslot hardware");
        Inventory::parse(&text, &name).unwrap_or_else(|error| panic!("{error:#}\n{text}"));
        written(&name, &text)
    })
}

/// A machine that has a disk on AHCI and nothing else.
pub fn ahci_alone() -> &'static Path {
    static WRITTEN: OnceLock<PathBuf> = OnceLock::new();
    let modaliases = ["pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", "scsi:t-0x00"];
    WRITTEN.get_or_init(|| by_hand("ahci", &modaliases))
}

/// A machine that has a disk on virtio-blk and nothing else.
pub fn virtio_alone() -> &'static Path {
    static WRITTEN: OnceLock<PathBuf> = OnceLock::new();
    let modaliases = ["pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00", "virtio:d00000002v00001AF4"];
    WRITTEN.get_or_init(|| by_hand("virtio", &modaliases))
}

/// A machine whose disk hangs on these devices, each on the one before.
fn by_hand(name: &str, modaliases: &[&str]) -> PathBuf {
    let devices = modaliases.iter().enumerate().map(|(depth, modalias)| {
        let path = "/0".repeat(depth + 1);
        format!(r#"{{"path": "bus{path}", "modalias": "{modalias}", "role": "boot"}}"#)
    });
    let devices = devices.collect::<Vec<_>>().join(", ");
    written(
        &format!("{name}-alone"),
        &format!(
            r#"{{"version": 1, "machine": "{name} alone", "guest": true, "devices": [{devices}], "consoles": ["ttyS0"]}}"#
        ),
    )
}

fn written(name: &str, text: &str) -> PathBuf {
    let path = disks::folder().join(format!("{name}.json"));
    std::fs::write(&path, text).expect("a small file can be written");
    path
}
