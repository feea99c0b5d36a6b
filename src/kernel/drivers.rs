//! Finds the modules of a slot's kernel that a machine's devices need, and where the slot has them.

use crate::hardware::Inventory;
use crate::hardware::inventory::{Device, Role, Storage};
use crate::kernel::modules::{Linkage, Modules};
use serde::Serialize;
use std::collections::BTreeSet;

/// Paths below a kernel's `kernel/` that hold drivers for disks, for the controllers and buses to which disks
/// are attached, and for keyboards, which people need to find out why a machine does not come up. dracut's own
/// search for storage drivers unpacks every module of the kernel to look at its symbols: 5 s for the modules of
/// Debian 13, which are compressed with xz. The folders give the same answer.
const STORAGE: [&str; 16] = [
    "drivers/ata/",
    "drivers/block/",
    "drivers/hid/hid-generic",
    "drivers/hid/usbhid/",
    "drivers/hv/",
    "drivers/memstick/",
    "drivers/message/fusion/",
    "drivers/mmc/",
    "drivers/nvdimm/",
    "drivers/nvme/host/",
    "drivers/pci/controller/",
    "drivers/scsi/",
    "drivers/ufs/",
    "drivers/usb/host/",
    "drivers/usb/storage/",
    "drivers/virtio/",
];

/// Starts of the aliases of hardware of which a root disk can be a part: PCI and USB controllers, disks of virtio,
/// Xen and Hyper-V, SCSI disks (type 0), memory cards, and controllers that ACPI names.
const OF_DISKS: [&str; 9] =
    ["acpi", "mmc:", "pci:", "scsi:t_0x00", "usb:", "virtio:d00000002", "virtio:d00000008", "vmbus:", "xen:vbd"];
/// Modules in the folders of [`STORAGE`] with such an alias that carry no root disk all the same, or none that any
/// distribution installs to: memory sticks and NVDIMMs are not in what initramfs-tools makes for any machine
/// (MODULES=most).
const NO_ROOT: [&str; 6] = [
    "drivers/block/floppy",
    "drivers/hid/",
    "drivers/hv/hv_balloon",
    "drivers/hv/hv_utils",
    "drivers/memstick/",
    "drivers/nvdimm/",
];

/// Paths below a kernel's `kernel/` that hold drivers of Ethernet cards, also those that a hypervisor or a USB port has.
const NETWORK: [&str; 8] = [
    "drivers/net/ethernet/",
    "drivers/net/hyperv/",
    "drivers/net/phy/",
    "drivers/net/mdio/",
    "drivers/net/usb/",
    "drivers/net/virtio_net",
    "drivers/net/vmxnet3/",
    "drivers/net/xen-netfront",
];
/// Starts of the aliases of such hardware, with `_` for `-`: PCI and USB devices, those of virtio (1 is a network card),
/// Xen and Hyper-V, and the chips (`mdio`) that drive a cable.
const OF_NETWORKS: [&str; 8] = ["acpi", "auxiliary:", "mdio:", "pci:", "usb:", "virtio:d00000001", "vmbus:", "xen:vif"];
/// Modules that an init loads by name for a network: of VLANs, and of cards whose Ethernet half has no alias (mlx4_en
/// before Linux 6.6).
pub const BY_NAME: [&str; 2] = ["8021q", "mlx4_en"];
/// Paths of what such cards are attached to.
const BUSES: [&str; 4] =
    ["drivers/hv/hv_vmbus", "drivers/pci/controller/", "drivers/usb/host/", "drivers/virtio/virtio_pci"];

/// A device of a machine, and its driver.
#[derive(Debug)]
pub struct Need<'i> {
    /// Device as listed in the inventory.
    pub device: &'i Device,
    /// Driver that the slot's kernel has for it.
    pub driver: Driver,
}

/// Driver of a device in a slot's kernel.
#[derive(Debug, PartialEq, Eq)]
pub enum Driver {
    /// Modules with an alias that matches the device; all of them are loaded when the device appears.
    Modules(Vec<String>),
    /// Module that drives the device on the machine, and that this kernel has for it, too: no other will do.
    Module(String),
    /// No named module: the kernel drives the device by itself, or nothing does.
    Unnamed,
    /// None: the device needs a driver, and this kernel has none.
    Missing,
}

/// Location of the driver of a device, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Where {
    /// No location: the device needs no named module.
    NotNeeded,
    /// Part of the kernel.
    BuiltIn,
    /// In the initramfs, with all modules that it needs.
    Initramfs,
    /// Only in the root filesystem: too late for a device that is needed to mount that.
    RootFilesystem,
    /// Nowhere in the slot.
    Nowhere,
}

/// Returns the driver that each device of `inventory` needs from the kernel with these `modules`.
pub fn needs<'i>(inventory: &'i Inventory, modules: &Modules) -> Vec<Need<'i>> {
    inventory.devices.iter().map(|device| Need { device, driver: driver(device, modules) }).collect()
}

fn driver(device: &Device, modules: &Modules) -> Driver {
    let candidates = modules.matching(&device.modalias);
    let known = [&device.module, &device.driver].into_iter().flatten().map(|name| name.replace('-', "_"));
    for name in known {
        if candidates.contains(&name) || (candidates.is_empty() && modules.place(&name).is_some()) {
            return Driver::Module(name);
        }
    }
    if !candidates.is_empty() {
        return Driver::Modules(candidates);
    }
    // Drivers outside of modules are those that most kernels have built in: bridges, buses.
    let has_none = device.driver.is_none() && device.role != Role::Possible;
    let is_core = device.module.is_none() && is_structure(&device.modalias);
    if has_none || is_core { Driver::Unnamed } else { Driver::Missing }
}

/// Returns true for a device that only connects others, and has no drivers of its own kind: PCI bridges
/// (class 06, PCI Code and ID Assignment Specification), and devices named by ACPI or the board.
fn is_structure(modalias: &str) -> bool {
    let is_bridge = modalias.starts_with("pci:") && modalias.contains("bc06");
    is_bridge || ["acpi:", "platform:", "of:"].iter().any(|bus| modalias.starts_with(bus))
}

impl Driver {
    /// Returns the names of its modules; empty for none.
    pub fn names(&self) -> &[String] {
        match self {
            Driver::Modules(names) => names,
            Driver::Module(name) => std::slice::from_ref(name),
            Driver::Unnamed | Driver::Missing => &[],
        }
    }

    /// Returns the best location of the driver, and the module found there. `initramfs` is the set of modules
    /// in the initramfs.
    pub fn place(&self, modules: &Modules, initramfs: &BTreeSet<String>) -> (Where, Option<&str>) {
        let place = |name: &String| match modules.place(name) {
            Some(Linkage::BuiltIn) => Where::BuiltIn,
            Some(Linkage::Loadable) if modules.chain(name).iter().all(|name| initramfs.contains(*name)) => {
                Where::Initramfs
            }
            Some(Linkage::Loadable) => Where::RootFilesystem,
            None => Where::Nowhere,
        };
        let best = self.names().iter().map(|name| (place(name), Some(name.as_str()))).min_by_key(|(place, _)| *place);
        let otherwise = if *self == Driver::Unnamed { Where::NotNeeded } else { Where::Nowhere };
        best.unwrap_or((otherwise, None))
    }
}

/// Returns the modules that an initramfs needs for `inventory` and for a root filesystem that needs the modules
/// `root`, with their dependencies. Built-in modules are left out.
pub fn of_initramfs(inventory: &Inventory, modules: &Modules, root: &[&str]) -> BTreeSet<String> {
    let boots = |need: &Need| need.device.role != Role::Network;
    let needs = needs(inventory, modules);
    let mut wanted: BTreeSet<String> =
        needs.iter().filter(|need| boots(need)).flat_map(|need| need.driver.names().iter().cloned()).collect();
    // Also all other modules that match: the kernel decides which of them takes the device.
    wanted.extend(needs.iter().filter(|need| boots(need)).flat_map(|need| modules.matching(&need.device.modalias)));
    if inventory.storage == Storage::EveryDriver {
        wanted.extend(modules.below(&STORAGE).cloned());
    }
    wanted.extend(root.iter().map(ToString::to_string));
    modules.with_needs(wanted)
}

/// Returns the modules that an initramfs needs for `inventory` whose root comes over a network, and needs the modules
/// `root`, with their dependencies: as [`of_initramfs`] does for disks.
pub fn of_network(inventory: &Inventory, modules: &Modules, root: &[&str]) -> BTreeSet<String> {
    let needs = needs(inventory, modules);
    // A disk and a network card may share what they are attached to.
    let matching = needs
        .iter()
        .flat_map(|need| need.driver.names().iter().cloned().chain(modules.matching(&need.device.modalias)));
    let mut wanted: BTreeSet<String> = matching.collect();
    if inventory.storage == Storage::EveryDriver {
        let has_hardware = modules.with_alias(&OF_NETWORKS);
        let of_ethernet = modules.below(&NETWORK).filter(|name| has_hardware.contains(name.as_str()));
        wanted.extend(of_ethernet.cloned());
        wanted.extend(modules.below(&BUSES).cloned());
    }
    wanted.extend(root.iter().map(ToString::to_string));
    modules.with_needs(wanted)
}

/// Returns the modules for devices of `inventory` that no pattern leads to: they must be loaded by name.
pub fn named(inventory: &Inventory, modules: &Modules) -> BTreeSet<String> {
    let needs = needs(inventory, modules);
    let is_named = |need: &Need, name: &String| !modules.matching(&need.device.modalias).contains(name);
    needs.iter().flat_map(|need| need.driver.names().iter().filter(|name| is_named(need, name)).cloned()).collect()
}

/// Returns the loadable modules of a kernel without which some disk could not be the root, with their dependencies.
/// These are fewer than [`of_initramfs`] takes for any hardware: no tapes, no disks in memory or over a network, no
/// keyboards.
pub fn of_any_root_disk(modules: &Modules) -> BTreeSet<String> {
    let of_disks = modules.with_alias(&OF_DISKS);
    let is_of_disk = |name: &&String| {
        let path = modules.path(name).unwrap_or_default();
        of_disks.contains(name.as_str()) && !NO_ROOT.iter().any(|other| path.contains(other))
    };
    modules.with_needs(modules.below(&STORAGE).filter(is_of_disk).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::find::Kernel;
    use crate::root::mounted::directory::Root;
    use std::fs;

    /// Makes the lists of a kernel with virtio as modules, and NVMe built in.
    fn modules() -> Modules {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("lib/modules/6.1");
        fs::create_dir_all(&place).unwrap();
        let dep = "kernel/drivers/virtio/virtio.ko:\n\
                   kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio.ko\n\
                   kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko\n\
                   kernel/drivers/net/virtio_net.ko: kernel/drivers/virtio/virtio.ko\n\
                   kernel/drivers/virtio/virtio_balloon.ko: kernel/drivers/virtio/virtio.ko\n\
                   kernel/drivers/block/brd.ko:\n\
                   kernel/drivers/hv/hv_utils.ko:\n\
                   kernel/drivers/scsi/ch.ko:\n\
                   kernel/drivers/usb/storage/uas.ko:\n\
                   kernel/drivers/usb/storage/usb-storage.ko:\n\
                   kernel/fs/ext4/ext4.ko:\n";
        let alias = "alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci\n\
                     alias virtio:d00000002v* virtio_blk\n\
                     alias virtio:d00000001v* virtio_net\n\
                     alias virtio:d00000005v* virtio_balloon\n\
                     alias block-major-1-* brd\n\
                     alias vmbus:31602d0e* hv_utils\n\
                     alias scsi:t-0x08* ch\n\
                     alias usb:v*p*d*dc*dsc*dp*ic08isc06ip62in* uas\n\
                     alias usb:v*p*d*dc*dsc*dp*ic08isc06ip*in* usb_storage\n";
        for (name, text) in [("dep", dep), ("alias", alias), ("builtin", "kernel/drivers/nvme/host/nvme.ko\n")] {
            fs::write(place.join(format!("modules.{name}")), text).unwrap();
        }
        fs::write(place.join("modules.builtin.modinfo"), "nvme.alias=pci:v*d*sv*sd*bc01sc08i02*\0").unwrap();
        let kernel = Kernel { version: "6.1".into(), path: "boot/vmlinuz-6.1".into() };
        Modules::read(&Root::open(folder.path()).unwrap(), &kernel).unwrap().unwrap()
    }

    fn device(modalias: &str, driver: Option<&str>, module: Option<&str>) -> Device {
        let owned = |name: Option<&str>| name.map(ToOwned::to_owned);
        let (path, modalias) = ("pci0000:00/x".to_owned(), modalias.to_owned());
        Device { path, modalias, role: Role::Boot, driver: owned(driver), module: owned(module) }
    }

    fn machine(devices: Vec<Device>) -> Inventory {
        let text = r#"{ "version": 1, "machine": "test" }"#;
        Inventory { devices, ..Inventory::parse(text, "test").unwrap() }
    }

    const VIRTIO_PCI: &str = "pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00";

    #[test]
    fn a_driver_is_told_by_where_it_is() {
        let modules = modules();
        let place = |device: &Device, initramfs: &[&str]| {
            driver(device, &modules).place(&modules, &initramfs.iter().map(ToString::to_string).collect()).0
        };
        let virtio = device("virtio:d00000002v00001AF4", Some("virtio_blk"), Some("virtio_blk"));
        assert_eq!(place(&virtio, &["virtio", "virtio_blk"]), Where::Initramfs);
        assert_eq!(place(&virtio, &["virtio_blk"]), Where::RootFilesystem, "without what it needs it cannot be loaded");
        let nvme = device("pci:v00001B36d00000010sv0sd0bc01sc08i02", Some("nvme"), Some("nvme"));
        assert_eq!(place(&nvme, &[]), Where::BuiltIn);
        let megaraid = device("pci:v00001000d00000060sv0sd0bc01sc04i00", Some("megaraid_sas"), Some("megaraid_sas"));
        assert_eq!(place(&megaraid, &[]), Where::Nowhere);
        let bridge = device("pci:v00008086d0000244Esv0sd0bc06sc04i01", Some("pcieport"), None);
        assert_eq!(place(&bridge, &[]), Where::NotNeeded);
        let idle = device("pci:v00001000d00000060sv0sd0bc01sc04i00", None, None);
        assert_eq!(place(&idle, &[]), Where::NotNeeded, "nothing drives it on the machine either");
    }

    #[test]
    fn the_module_that_has_a_device_on_the_machine_is_the_one_that_counts() {
        let modules = modules();
        let uas = "usb:v0BDAp9210d2001dc00dsc00dp00ic08isc06ip62in00";
        assert_eq!(driver(&device(uas, Some("uas"), Some("uas")), &modules), Driver::Module("uas".into()));
        let any = driver(&device(uas, Some("other"), Some("other")), &modules);
        assert_eq!(any, Driver::Modules(vec!["uas".into(), "usb_storage".into()]));
    }

    #[test]
    fn an_initramfs_gets_what_the_boot_disk_hangs_on_and_no_more() {
        let modules = modules();
        let network = Device { role: Role::Network, ..device("virtio:d00000001v00001AF4", None, None) };
        let inventory = machine(vec![
            device(VIRTIO_PCI, Some("virtio-pci"), Some("virtio_pci")),
            device("virtio:d00000002v00001AF4", Some("virtio_blk"), Some("virtio_blk")),
            network,
        ]);
        let names: Vec<String> = of_initramfs(&inventory, &modules, &["ext4"]).into_iter().collect();
        assert_eq!(names, ["ext4", "virtio", "virtio_blk", "virtio_pci"]);
        let generic = Inventory { storage: Storage::EveryDriver, ..machine(Vec::new()) };
        let names: Vec<String> = of_initramfs(&generic, &modules, &[]).into_iter().collect();
        let disks = ["uas", "usb_storage", "virtio", "virtio_blk", "virtio_pci"];
        let others = [&["brd", "ch", "hv_utils"], &disks[..3], &["virtio_balloon"], &disks[3..]];
        assert_eq!(names, others.concat());
        assert_eq!(of_any_root_disk(&modules).into_iter().collect::<Vec<_>>(), disks);
    }
}
