//! An inventory of what a machine needs to boot, as a value and as JSON: taken on one machine, it serves to
//! make disks for that machine anywhere else.

use crate::error::{Result, refused};
use serde::{Deserialize, Serialize};

/// The version of the JSON form.
pub const VERSION: u32 = 1;

/// The longest text in an inventory, in bytes; a USB modalias has some 70, one of DMI (which no device has)
/// 300.
const TEXT_MAX: usize = 512;

/// The inventory of a machine, or of a kind of machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Inventory {
    /// Version of the JSON form: 1.
    pub version: u32,
    /// Name that the machine reports (DMI: vendor and product; else its device tree), or the profile's name.
    pub machine: String,
    /// True for a virtual machine: its host has the processor's microcode, and loads it.
    #[serde(default)]
    pub guest: bool,
    /// Firmware that starts the machine; `None` for a profile, and for a microVM that starts a kernel itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<Firmware>,
    /// Storage drivers to include: only those of `devices`, or every one.
    #[serde(default)]
    pub storage: Storage,
    /// Devices from the root of the device tree to the disks and to the network cards, parents before their
    /// children; no path twice.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// Disk that the machine boots from; several if its boot filesystem is on several.
    #[serde(default)]
    pub disks: Vec<DiskFacts>,
    /// Consoles that the kernel logs to, such as `ttyS0`, without `tty0`; the last one is init's.
    #[serde(default)]
    pub consoles: Vec<String>,
    /// Main memory in bytes, without what firmware and kernel reserve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// True if the running kernel can load another one by kexec, as far as it says; `None` if not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kexec: Option<bool>,
    /// Hardware watchdogs, by the identity that they report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watchdogs: Vec<String>,
}

/// The firmware that starts a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// BIOS, or UEFI's emulation of one.
    Bios,
    /// UEFI, without emulation of a BIOS.
    Uefi,
}

/// The storage drivers that an initramfs gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    /// Drivers of the inventory's devices.
    #[default]
    Listed,
    /// Every storage driver that the slot's kernel has.
    EveryDriver,
}

/// A device that needs its driver before the machine is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Device {
    /// Path below `/sys/devices` when the inventory was taken; some numbers in it change with each boot. In
    /// a profile, a name for people.
    pub path: String,
    /// Identity of the device, as the kernel spells it (file2alias.c); a driver lists patterns of this for
    /// what it drives.
    pub modalias: String,
    /// Purpose that the device is needed for.
    pub role: Role,
    /// Driver that the machine uses for the device; `None` if it uses none, or if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Kernel module that this driver is part of: finds the driver where the kernel's aliases do not, as for
    /// one that is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
}

/// The purpose that a device is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Needed for the boot disk: without its driver the machine does not come up.
    Boot,
    /// Needed for a network card.
    Network,
    /// Needed only if the machine has it.
    Possible,
}

/// A disk of the machine, as it reports itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DiskFacts {
    /// Kernel's name of the disk: `sda`.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Unit in which the disk is addressed, in bytes.
    pub logical_block_size: u32,
    /// Unit in which the disk writes, in bytes.
    pub physical_block_size: u32,
    /// Model name, if the disk reports one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Serial number, if the disk reports one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
}

impl Inventory {
    /// Returns the JSON form, as [`Inventory::parse`] reads it.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Returns the inventory of a machine of which nothing is known.
    pub fn unknown() -> Inventory {
        Inventory {
            version: VERSION,
            machine: "this machine".to_owned(),
            guest: false,
            firmware: None,
            storage: Storage::Listed,
            devices: Vec::new(),
            disks: Vec::new(),
            consoles: Vec::new(),
            memory: None,
            kexec: None,
            watchdogs: Vec::new(),
        }
    }

    /// Parses the JSON form; `from` names its source in errors.
    pub fn parse(text: &str, from: &str) -> Result<Inventory> {
        let again = "take it again, on that machine: flipslot hardware -o FILE";
        // Read before the rest, which may differ in another version.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        match serde_json::from_str::<Version>(text) {
            Ok(Version { version: VERSION }) => {}
            Ok(Version { version }) => {
                let found = format!("{from} is an inventory of version {version}; this flipslot reads {VERSION}");
                return Err(refused(found, again));
            }
            Err(error) => return Err(refused(format!("{from} is not an inventory of a machine: {error}"), again)),
        }
        let inventory: Inventory =
            serde_json::from_str(text).map_err(|error| refused(format!("{from}: {error}"), again))?;
        // These are shown to people, and are part of the record of a slot.
        let odd = |text: &str| text.len() > TEXT_MAX || text.chars().any(char::is_control);
        let texts = inventory.devices.iter().flat_map(|device| [&device.path, &device.modalias]);
        if let Some(text) = texts.chain([&inventory.machine]).chain(&inventory.consoles).find(|text| odd(text)) {
            let start: String = text.chars().take(60).collect();
            let found = format!("{from} holds a text that no machine reports: '{}'", start.escape_debug());
            return Err(refused(found, again));
        }
        Ok(inventory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_would_move_the_cursor_or_fill_a_record_is_refused() {
        let with =
            |machine: &str| Inventory::parse(&format!(r#"{{ "version": 1, "machine": "{machine}" }}"#), "x.json");
        assert_eq!(with("Rack 12").unwrap().machine, "Rack 12");
        for odd in ["a\\u001b[2J", &"x".repeat(600)] {
            let error = with(odd).unwrap_err();
            assert_eq!(crate::error::kind(&error), crate::error::Kind::Refused);
            assert!(error.to_string().contains("no machine reports"), "{error}");
        }
    }
}
