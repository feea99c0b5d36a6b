//! Which modules of a slot's kernel a machine's devices need, and where the slot has them.

use crate::boot::modules::{Modules, Place};
use crate::hardware::Inventory;
use crate::hardware::inventory::{Device, Role, Storage};
use serde::Serialize;
use std::collections::BTreeSet;

/// The folders below a kernel's `kernel/` where its drivers for disks, and for what disks hang on,
/// are; and keyboards, for who must look why a machine does not come up. dracut's own search for
/// storage drivers unpacks every module of the kernel to look at its symbols: 5 s on Debian 13, whose
/// modules are compressed with xz. Their folders say the same.
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

/// A device of a machine, and what drives it.
#[derive(Debug)]
pub struct Need<'i> {
    /// The device.
    pub device: &'i Device,
    /// What drives it.
    pub driver: Driver,
}

/// What drives a device with a slot's kernel.
#[derive(Debug, PartialEq, Eq)]
pub enum Driver {
    /// Each of these modules says that it can; all that fit are loaded when the device turns up.
    Modules(Vec<String>),
    /// This one has it on the machine and says so here, too: no other will do.
    Module(String),
    /// The kernel itself, without a module that has a name, or nothing.
    Unnamed,
    /// It needs one, and this kernel has none.
    Missing,
}

/// Where the driver of a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Where {
    /// The device needs none that has a name.
    NotNeeded,
    /// It is part of the kernel.
    BuiltIn,
    /// It is in the initramfs, with all that it needs.
    Initramfs,
    /// It is in the root filesystem alone, which it would have to be there before.
    RootFilesystem,
    /// The slot does not have it.
    Nowhere,
}

/// What each device of `inventory` needs of the kernel with these `modules`.
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
    // A driver that is not part of a module is one that most kernels have built in: bridges, busses.
    let has_none = device.driver.is_none() && device.role != Role::Possible;
    let is_core = device.module.is_none() && is_structure(&device.modalias);
    if has_none || is_core { Driver::Unnamed } else { Driver::Missing }
}

/// Whether a device is what others hang on, and not one that has its own kinds of drivers: PCI bridges
/// (class 06, PCI Code and ID Assignment Specification), and what ACPI or the board names.
fn is_structure(modalias: &str) -> bool {
    let is_bridge = modalias.starts_with("pci:") && modalias.contains("bc06");
    is_bridge || ["acpi:", "platform:", "of:"].iter().any(|bus| modalias.starts_with(bus))
}

impl Driver {
    /// The modules of it.
    pub fn names(&self) -> &[String] {
        match self {
            Driver::Modules(names) => names,
            Driver::Module(name) => std::slice::from_ref(name),
            Driver::Unnamed | Driver::Missing => &[],
        }
    }

    /// Where it is, with the module that is meant; `initramfs` is the set of the modules in there.
    pub fn place(&self, modules: &Modules, initramfs: &BTreeSet<String>) -> (Where, Option<&str>) {
        let place = |name: &String| match modules.place(name) {
            Some(Place::BuiltIn) => Where::BuiltIn,
            Some(Place::Loadable) if modules.chain(name).iter().all(|name| initramfs.contains(*name)) => {
                Where::Initramfs
            }
            Some(Place::Loadable) => Where::RootFilesystem,
            None => Where::Nowhere,
        };
        let best = self.names().iter().map(|name| (place(name), Some(name.as_str()))).min_by_key(|(place, _)| *place);
        let otherwise = if *self == Driver::Unnamed { Where::NotNeeded } else { Where::Nowhere };
        best.unwrap_or((otherwise, None))
    }
}

/// The modules that an initramfs gets for `inventory` and a root filesystem that the modules `root`
/// drive: theirs, and all that they need. What is built in is left out.
pub fn of_initramfs(inventory: &Inventory, modules: &Modules, root: &[&str]) -> BTreeSet<String> {
    let boots = |need: &Need| need.device.role != Role::Network;
    let needs = needs(inventory, modules);
    let mut wanted: BTreeSet<String> =
        needs.iter().filter(|need| boots(need)).flat_map(|need| need.driver.names().iter().cloned()).collect();
    // Also what else says that it fits: which of them takes the device is the kernel's business.
    wanted.extend(needs.iter().filter(|need| boots(need)).flat_map(|need| modules.matching(&need.device.modalias)));
    if inventory.storage == Storage::EveryDriver {
        wanted.extend(modules.below(&STORAGE).cloned());
    }
    wanted.extend(root.iter().map(ToString::to_string));
    modules.with_needs(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::kernel::Kernel;
    use crate::filesystem::Root;
    use std::fs;

    /// The lists of a kernel with virtio as modules, and NVMe built in.
    fn modules() -> Modules {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("lib/modules/6.1");
        fs::create_dir_all(&place).unwrap();
        let dep = "kernel/drivers/virtio/virtio.ko:\n\
                   kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio.ko\n\
                   kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko\n\
                   kernel/drivers/net/virtio_net.ko: kernel/drivers/virtio/virtio.ko\n\
                   kernel/drivers/usb/storage/uas.ko:\n\
                   kernel/drivers/usb/storage/usb-storage.ko:\n\
                   kernel/fs/ext4/ext4.ko:\n";
        let alias = "alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci\n\
                     alias virtio:d00000002v* virtio_blk\n\
                     alias virtio:d00000001v* virtio_net\n\
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
        assert_eq!(names, ["uas", "usb_storage", "virtio", "virtio_blk", "virtio_pci"]);
    }
}
