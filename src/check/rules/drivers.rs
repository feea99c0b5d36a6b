//! Drivers: of the devices that the boot disk hangs on, of the network, of the root filesystem.

use crate::boot::drivers::{self, Driver, Need, Where};
use crate::boot::modules::Place;
use crate::check::Subject;
use crate::error::Result;
use crate::hardware::inventory::{Role, Storage};
use std::collections::BTreeSet;

/// A device that the boot disk hangs on has no driver before the root filesystem is there.
pub fn boot(subject: &Subject) -> Result<Vec<String>> {
    let (Some(modules), Some(initramfs)) = (&subject.modules, subject.initramfs_modules()) else {
        return Ok(Vec::new());
    };
    let needs = drivers::needs(subject.inventory, modules);
    let is_there = |need: &Need| need.driver.place(modules, &initramfs).0 <= Where::Initramfs;
    let required = needs.iter().filter(|need| need.device.role == Role::Boot && !is_there(need));
    let mut found: Vec<String> = required.map(|need| lack(need, need.driver.place(modules, &initramfs))).collect();
    // Of the disks that a kind of machines may have, one is enough.
    let is_disk = |need: &&Need| need.device.role == Role::Possible && is_disk(&need.device.modalias);
    let mut possible = needs.iter().filter(is_disk).peekable();
    if possible.peek().is_some() && !possible.any(is_there) {
        found.push(format!("it has no driver for any disk of {}", subject.inventory.machine));
    }
    if subject.inventory.storage == Storage::EveryDriver {
        let wanted = drivers::of_initramfs(subject.inventory, modules, &[]);
        let left: Vec<&str> = wanted.difference(&initramfs).map(String::as_str).collect();
        found
            .extend(few(&left).map(|some| format!("the initramfs has not every storage driver of its kernel: {some}")));
    }
    Ok(found)
}

/// A device of a network card has no driver at all, or the kernel's release has none for it.
pub fn network(subject: &Subject) -> Result<Vec<String>> {
    let Some(modules) = &subject.modules else { return Ok(Vec::new()) };
    let needs = drivers::needs(subject.inventory, modules);
    let network = needs.iter().filter(|need| need.device.role == Role::Network && need.driver == Driver::Missing);
    Ok(network.map(|need| lack(need, (Where::Nowhere, None))).collect())
}

/// The root filesystem's own driver is not there before it.
pub fn root(subject: &Subject) -> Result<Vec<String>> {
    let (Some(modules), Some(kernel)) = (&subject.modules, &subject.kernel) else { return Ok(Vec::new()) };
    let kind = subject.filesystem.to_string();
    match modules.place(&kind) {
        Some(Place::BuiltIn) => Ok(Vec::new()),
        None => Ok(vec![format!("kernel {} has no driver for {kind}, the root filesystem", kernel.version)]),
        Some(Place::Loadable) => {
            let Some(initramfs) = subject.initramfs_modules() else { return Ok(Vec::new()) };
            let left: Vec<&str> = modules.chain(&kind).into_iter().filter(|name| !initramfs.contains(*name)).collect();
            Ok(few(&left)
                .map(|some| format!("the initramfs has no driver for {kind}, the root filesystem: it lacks {some}"))
                .into_iter()
                .collect())
        }
    }
}

/// Whether a device is a disk, and not what disks hang on: of virtio, NVMe, or SCSI as the kernel calls all
/// others (linux/virtio_ids.h; PCI class 01 08; include/scsi/scsi_proto.h).
fn is_disk(modalias: &str) -> bool {
    modalias.starts_with("virtio:d00000002") || modalias.starts_with("scsi:t-0x00") || modalias.contains("bc01sc08")
}

/// "/pci0000:00/… (pci:v…): its driver ahci is only in the root filesystem".
fn lack(need: &Need, (place, module): (Where, Option<&str>)) -> String {
    let device = format!("{} ({})", need.device.path, need.device.modalias);
    match (place, module) {
        (Where::RootFilesystem, Some(module)) => {
            format!("{device} has no driver in the initramfs: {module} is in the root filesystem alone")
        }
        (_, Some(module)) => format!("{device} has no driver: {module} is nowhere in the slot"),
        _ => {
            let here = need.device.module.as_ref().or(need.device.driver.as_ref());
            let here = here.map(|name| format!(" (the machine uses {name} now)")).unwrap_or_default();
            format!("{device} has no driver: the slot's kernel has none for it{here}")
        }
    }
}

/// The first of some names, and how many more there are; `None` if there are none.
fn few(names: &[&str]) -> Option<String> {
    const SHOWN: usize = 6;
    let names: BTreeSet<&str> = names.iter().copied().collect();
    let shown: Vec<&str> = names.iter().copied().take(SHOWN).collect();
    let more = names.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    (!names.is_empty()).then(|| format!("{}{more}", shown.join(", ")))
}
