//! Disks made for one machine, on others: what `check` foretells is what a boot does.

use crate::bus::Bus;
use crate::disks::{self, Single};
use crate::images;
use crate::inventories;
use crate::machine::Machine;
use crate::setup::{Firmware, Setup};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// What becomes of a disk on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    ComesUp,
    FindsNoRoot,
}

/// A root that is there is found some 10 s after systemd began to wait for it, without KVM.
const SHORT_WAIT: &str = "--kargs=rd.timeout=45";
/// Who makes the initramfs of a disk, with what it says of a root that does not come.
const MAKERS: [(&str, &str); 2] =
    [(disks::OURS, "did not come within 45 s"), ("--initramfs=dracut", "Timed out waiting for device")];

/// What `check` says of a disk before it is put on `bus`.
fn foretold(disk: &Path, bus: Bus) -> Fate {
    let (disk, inventory) = (disk.to_string_lossy(), inventories::of(bus).to_string_lossy());
    let (_, said) = disks::flipslot(&["check", "--disk", &disk, "--slot=a", "--hardware", &inventory, "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    let findings = said["findings"].as_array().expect("it says what it found");
    let errors: Vec<_> = findings.iter().filter(|found| found["severity"] == "error").collect();
    if errors.is_empty() {
        return Fate::ComesUp;
    }
    assert!(errors.iter().all(|found| found["rule"] == "driver-missing"), "nothing else is wrong: {errors:#?}");
    let names_it = |found: &&serde_json::Value| found["found"].to_string().contains(bus.driver());
    assert!(errors.iter().any(names_it), "{} is named: {errors:#?}", bus.driver());
    Fate::FindsNoRoot
}

/// What the disk for `home` does on `bus`.
fn seen(disk: &Path, home: Bus, bus: Bus, gives_up: &str) -> Fate {
    let name = format!("matrix-{home}-on-{bus}");
    let mut machine = Machine::start(&Setup::once(&name, Firmware::Bios, bus, disk));
    machine.wait_for("the firmware finds the disk", "flipslot: booting slot a");
    let ends = ["flipslot-vm login:", gives_up];
    [Fate::ComesUp, Fate::FindsNoRoot][machine.wait_for_any("it comes up, or waits for its root in vain", &ends)]
}

/// Makes a disk for `home`, and puts it on each of `buses`. It comes up at home and nowhere else, and
/// that is what was foretold.
fn made_for(home: Bus, buses: &[Bus]) {
    made_by(MAKERS[0], home, buses);
}

fn made_by((maker, gives_up): (&str, &str), home: Bus, buses: &[Bus]) {
    let inventory = inventories::of(home).to_string_lossy();
    let name = format!("matrix-{home}-on-{}{maker}", buses.len());
    let disk = Single { name: &name, layout: &images::layout("bookworm") }.made(&[
        "--hardware",
        &inventory,
        "--console=ttyS0",
        SHORT_WAIT,
        maker,
    ]);
    let wrong: Vec<String> = buses
        .iter()
        .filter_map(|&bus| {
            let (foretold, seen) = (foretold(&disk, bus), seen(&disk, home, bus, gives_up));
            count(foretold == seen);
            let due = if bus == home { Fate::ComesUp } else { Fate::FindsNoRoot };
            let text = || format!("a disk for {home} on {bus}: foretold {foretold:?}, seen {seen:?}");
            (foretold != due || seen != due).then(text)
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Counts a pair, and says how many agree; a passing test would keep `eprintln!` to itself.
fn count(agrees: bool) {
    static PAIRS: Mutex<(usize, usize)> = Mutex::new((0, 0));
    let mut pairs = PAIRS.lock().unwrap_or_else(PoisonError::into_inner);
    *pairs = (pairs.0 + usize::from(agrees), pairs.1 + 1);
    let line = format!("prediction and boot agree in {} of {} pairs\n", pairs.0, pairs.1);
    std::io::stderr().write_all(line.as_bytes()).expect("stderr is there");
}

#[test]
fn a_disk_for_ahci_comes_up_there_and_not_on_lsi() {
    made_for(Bus::Ahci, &[Bus::Ahci, Bus::Lsi]);
}

#[test]
#[ignore = "the first does as much: make test-all"]
fn a_disk_for_lsi_comes_up_there_and_not_on_usb() {
    made_for(Bus::Lsi, &[Bus::Lsi, Bus::Usb]);
}

#[test]
#[ignore = "the first does as much: make test-all"]
fn a_disk_for_virtio_scsi_comes_up_there_and_not_on_lsi() {
    made_for(Bus::VirtioScsi, &[Bus::VirtioScsi, Bus::Lsi]);
}

#[test]
#[ignore = "the first does as much: make test-all"]
fn a_disk_for_usb_comes_up_there_and_not_on_virtio_scsi() {
    made_for(Bus::Usb, &[Bus::Usb, Bus::VirtioScsi]);
}

/// Every pair, with each initramfs: `make test-all` runs them, three rows at a time.
mod every_pair {
    use super::{Bus, MAKERS, made_by};

    fn row(home: Bus) {
        MAKERS.into_iter().for_each(|maker| made_by(maker, home, &Bus::ALL));
    }

    #[test]
    #[ignore = "twelve boots: make test-all"]
    fn of_a_disk_for_virtio_blk() {
        row(Bus::VirtioBlk);
    }

    #[test]
    #[ignore = "twelve boots: make test-all"]
    fn of_a_disk_for_virtio_scsi() {
        row(Bus::VirtioScsi);
    }

    #[test]
    #[ignore = "twelve boots: make test-all"]
    fn of_a_disk_for_ahci() {
        row(Bus::Ahci);
    }

    #[test]
    #[ignore = "twelve boots: make test-all"]
    fn of_a_disk_for_nvme() {
        row(Bus::Nvme);
    }

    #[test]
    #[ignore = "twelve boots: make test-all"]
    fn of_a_disk_for_lsi() {
        row(Bus::Lsi);
    }

    #[test]
    #[ignore = "twelve boots: make test-all"]
    fn of_a_disk_for_usb() {
        row(Bus::Usb);
    }
}
