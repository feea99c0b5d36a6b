//! The devices between a disk or a card and the root of the device tree: each needs its driver.

use crate::hardware::Sysfs;
use crate::hardware::inventory::{Device, Role};
use crate::hardware::sysfs::{linked_name, names, text};
use std::path::{Path, PathBuf};

impl Sysfs {
    /// Lists the devices from `folder` up that have a modalias, each with its path. A device that only
    /// connects others (a USB device above its interfaces, a SCSI host) has none, and needs no driver of
    /// its own.
    pub(super) fn devices_above(&self, folder: &Path, role: Role) -> Vec<(PathBuf, Device)> {
        let above = folder.ancestors().map_while(|folder| Some((folder, self.below_devices(folder)?)));
        let device = |(folder, place): (&Path, &Path)| {
            let device = Device {
                path: place.to_string_lossy().into_owned(),
                modalias: text(&folder.join("modalias"))?,
                role,
                driver: linked_name(&folder.join("driver")),
                module: linked_name(&folder.join("driver/module")),
            };
            Some((place.to_owned(), device))
        };
        above.filter_map(device).collect()
    }

    /// Lists the folders of the devices that are network cards; bridges, tunnels and the like have none.
    pub(super) fn cards(&self) -> Vec<PathBuf> {
        let interfaces = self.path("class/net");
        names(&interfaces).iter().filter_map(|name| self.device(&interfaces.join(name).join("device"))).collect()
    }
}
