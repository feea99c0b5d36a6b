//! Rules about drivers: of the devices that lead to the boot disk, of the network, of the root filesystem.

use crate::check::subject::Subject;
use crate::error::Result;
use crate::hardware::inventory::{Role, Storage};
use crate::kernel::drivers;
use crate::kernel::drivers::{Driver, Need, Where};
use crate::kernel::modules::Linkage;
use std::collections::BTreeSet;

/// Finds devices that lead to the boot disk and have no driver before the root filesystem is mounted, and an
/// initramfs without every storage driver where all are required.
pub fn boot(subject: &Subject) -> Result<Vec<String>> {
    if !subject.on.needs_disk() {
        return Ok(Vec::new());
    }
    let (Some(modules), Some(initramfs)) = (&subject.modules, subject.initramfs_modules()) else {
        return Ok(Vec::new());
    };
    let needs = drivers::needs(subject.inventory, modules);
    let is_there = |need: &Need| need.driver.place(modules, &initramfs).0 <= Where::Initramfs;
    let required = needs.iter().filter(|need| need.device.role == Role::Boot && !is_there(need));
    let without = |need: &Need| {
        let (place, module) = need.driver.place(modules, &initramfs);
        lack(need, place, module)
    };
    let mut found: Vec<String> = required.map(without).collect();
    // Of the disks that a kind of machines may have, one is enough.
    let possible: Vec<&Need> = needs.iter().filter(|need| need.device.role == Role::Possible).collect();
    let driven = possible.iter().filter(|need| is_there(need)).map(|need| need.device.modalias.as_str());
    if !possible.is_empty() && !reaches_a_disk(&driven.collect::<Vec<_>>()) {
        found.push(format!("it has no driver for any disk of {}", subject.inventory.machine));
    }
    if subject.inventory.storage == Storage::EveryDriver {
        let wanted = drivers::of_any_root_disk(modules);
        let left: Vec<&str> = wanted.difference(&initramfs).map(String::as_str).collect();
        found.extend(few(&left).map(|some| format!("the initramfs lacks storage drivers of its kernel: {some}")));
    }
    Ok(found)
}

/// Finds network cards for which the slot's kernel has no driver.
pub fn network(subject: &Subject) -> Result<Vec<String>> {
    let Some(modules) = &subject.modules else { return Ok(Vec::new()) };
    let needs = drivers::needs(subject.inventory, modules);
    let network = needs.iter().filter(|need| need.device.role == Role::Network && need.driver == Driver::Missing);
    Ok(network.map(|need| lack(need, Where::Nowhere, None)).collect())
}

/// Finds drivers that may request firmware of which nothing is in the slot, or not in the initramfs where it
/// is needed.
pub fn firmware(subject: &Subject) -> Result<Vec<String>> {
    let (Some(modules), Some(initramfs)) = (&subject.modules, subject.initramfs_modules()) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for need in drivers::needs(subject.inventory, modules).iter().filter(|need| need.device.role != Role::Possible) {
        let (place, Some(module)) = need.driver.place(modules, &initramfs) else { continue };
        let files = subject.firmware(module);
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        let Some(some) = few(&names) else { continue };
        let early = need.device.role == Role::Boot && place == Where::Initramfs;
        if !files.iter().any(|file| file.in_slot) {
            found.push(format!(
                "{module} of {} may ask for firmware, but the slot has none of it: {some}",
                need.device.path
            ));
        } else if early && !files.iter().any(|file| file.in_initramfs == Some(true)) {
            found.push(format!(
                "{module} of {} may ask for firmware, but the initramfs has none of it: {some}",
                need.device.path
            ));
        }
    }
    Ok(found)
}

/// Finds a root filesystem whose driver is neither built in nor, with all that it depends on, in the
/// initramfs.
pub fn root(subject: &Subject) -> Result<Vec<String>> {
    let (Some(modules), Some(kernel)) = (&subject.modules, &subject.kernel) else { return Ok(Vec::new()) };
    let Some(kind) = subject.on.filesystem_name() else { return Ok(Vec::new()) };
    match modules.place(kind) {
        Some(Linkage::BuiltIn) => Ok(Vec::new()),
        None => Ok(vec![format!("kernel {} has no driver for {kind}, the root filesystem", kernel.version)]),
        Some(Linkage::Loadable) => {
            let Some(initramfs) = subject.initramfs_modules() else { return Ok(Vec::new()) };
            let left: Vec<&str> = modules.chain(kind).into_iter().filter(|name| !initramfs.contains(*name)).collect();
            Ok(few(&left)
                .map(|some| format!("the initramfs has no driver for {kind}, the root filesystem: it lacks {some}"))
                .into_iter()
                .collect())
        }
    }
}

/// Returns true if these devices, which have drivers, lead to a disk: an NVMe disk (PCI class 01 08), a disk
/// of virtio (linux/virtio_ids.h), of Xen or of Hyper-V, a memory card, or a SCSI disk
/// (include/scsi/scsi_proto.h; Linux presents most others as one) with its controller (any other device of
/// PCI class 01, or one of virtio).
fn reaches_a_disk(driven: &[&str]) -> bool {
    let any = |is_it: &dyn Fn(&str) -> bool| driven.iter().any(|modalias| is_it(modalias));
    let pci = |class: &'static str| any(&move |modalias| modalias.starts_with("pci:") && modalias.contains(class));
    let virtio = |kind: &'static str| {
        let bus = ["pci:v00001AF4", "acpi:LNRO0005:", "platform:virtio-mmio"];
        any(&move |modalias| bus.iter().any(|bus| modalias.starts_with(bus))) && any(&move |m| m.starts_with(kind))
    };
    let of_scsi = |modalias: &str| {
        modalias.starts_with("pci:") && modalias.contains("bc01") && !modalias.starts_with("pci:v00001AF4")
    };
    let scsi = any(&|modalias| modalias.starts_with("scsi:t-0x00"));
    pci("bc01sc08")
        || virtio("virtio:d00000002")
        || any(&|modalias| ["mmc:block", "xen:vbd", "vmbus:"].iter().any(|bus| modalias.starts_with(bus)))
        || scsi && (any(&of_scsi) || virtio("virtio:d00000008"))
}

/// Describes a device without a driver, such as "/pci0000:00/… (pci:v…) has no driver in the initramfs: ahci
/// is only in the root filesystem".
fn lack(need: &Need, place: Where, module: Option<&str>) -> String {
    let device = format!("{} ({})", need.device.path, need.device.modalias);
    match (place, module) {
        (Where::RootFilesystem, Some(module)) => {
            format!("{device} has no driver in the initramfs: {module} is only in the root filesystem")
        }
        (_, Some(module)) => format!("{device} has no driver: {module} is nowhere in the slot"),
        _ => {
            let here = need.device.module.as_ref().or(need.device.driver.as_ref());
            let here = here.map(|name| format!(" (the machine uses {name} now)")).unwrap_or_default();
            format!("{device} has no driver: the slot's kernel has none for it{here}")
        }
    }
}

/// Joins the first names and the number of the others; `None` if there are no names.
fn few(names: &[&str]) -> Option<String> {
    const SHOWN: usize = 6;
    let names: BTreeSet<&str> = names.iter().copied().collect();
    let shown: Vec<&str> = names.iter().copied().take(SHOWN).collect();
    let more = names.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    (!names.is_empty()).then(|| format!("{}{more}", shown.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_reached_by_all_that_it_hangs_on() {
        let (ahci, nvme) = ("pci:v00008086d00002922sv0sd0bc01sc06i01", "pci:v00001B36d00000010sv0sd0bc01sc08i02");
        let (virtio_pci, blk, scsi_host) =
            ("pci:v00001AF4d00001042sv0sd0bc01sc00i00", "virtio:d00000002v00001AF4", "virtio:d00000008v00001AF4");
        let disk = "scsi:t-0x00";
        let raid = "pci:v00001000d0000005Bsv0sd0bc01sc04i00";
        for enough in [
            &[nvme][..],
            &["mmc:block"],
            &[virtio_pci, blk],
            &["acpi:LNRO0005:", blk],
            &[ahci, disk],
            &[raid, disk],
            &[virtio_pci, scsi_host, disk],
        ] {
            assert!(reaches_a_disk(enough), "{enough:?}");
        }
        for few in [&[][..], &[disk], &[ahci], &[virtio_pci], &[blk], &[virtio_pci, disk], &[scsi_host, disk]] {
            assert!(!reaches_a_disk(few), "{few:?}");
        }
    }
}
