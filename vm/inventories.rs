//! Inventories of QEMU's machines: taken inside them, by the program that is tested.

use crate::bus::Bus;
use crate::disks;
use crate::machine::{Firmware, Setup};
use crate::scenarios::boots::boot_slot;
use flipslot::hardware::Inventory;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What `flipslot hardware` says in a machine whose disk hangs on `bus`: a file, taken once.
pub fn of(bus: Bus) -> &'static Path {
    static TAKEN: [OnceLock<PathBuf>; Bus::ALL.len()] = [const { OnceLock::new() }; Bus::ALL.len()];
    let place = Bus::ALL.iter().position(|other| *other == bus).expect("it is one of all");
    TAKEN[place].get_or_init(|| {
        let name = format!("hardware-{bus}");
        let setup = Setup::once(&name, Firmware::Bios, bus, disks::generic());
        let mut machine = boot_slot(&setup, 'a', "Debian GNU/Linux 12");
        machine.log_in();
        let text = machine.run("flipslot hardware");
        Inventory::parse(&text, &name).unwrap_or_else(|error| panic!("{error:#}\n{text}"));
        written(&name, &text)
    })
}

fn written(name: &str, text: &str) -> PathBuf {
    let path = disks::folder().join(format!("{name}.json"));
    std::fs::write(&path, text).expect("a small file can be written");
    path
}
