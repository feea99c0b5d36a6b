//! What a machine needs to boot, as a value and as JSON: taken on one machine, it makes disks for
//! that machine anywhere else.

use crate::error::{Result, refused};
use serde::{Deserialize, Serialize};

/// The version of the JSON form.
pub const VERSION: u32 = 1;

/// The longest text in it, in bytes; a modalias of USB has some 70, one of DMI (which no device has) 300.
const TEXT_MAX: usize = 512;

/// A machine, or a kind of machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Inventory {
    /// Version of this form: 1.
    pub version: u32,
    /// What the machine calls itself (DMI: vendor and product; else its device tree), or what the
    /// profile is called.
    pub machine: String,
    /// Whether it is a virtual machine: its host has the processor's microcode, and loads it.
    #[serde(default)]
    pub guest: bool,
    /// How it starts; not known of a profile, nor of a microVM that starts a kernel by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<Firmware>,
    /// Whether drivers are named by the devices below alone.
    #[serde(default)]
    pub storage: Storage,
    /// From the root of the device tree to the disks and to the network cards, parents before their
    /// children; no path twice.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// The disk that it boots from; several, if what it boots from lies on several.
    #[serde(default)]
    pub disks: Vec<DiskFacts>,
    /// Consoles that it logs to, the last one is init's: `ttyS0`, without `tty0`.
    #[serde(default)]
    pub consoles: Vec<String>,
    /// Main memory in bytes, without what firmware and kernel keep for themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Whether its running kernel can load another one by kexec, as far as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kexec: Option<bool>,
    /// Its hardware watchdogs, by what they call themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watchdogs: Vec<String>,
}

/// How a machine starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// BIOS, or UEFI's imitation of one.
    Bios,
    /// UEFI.
    Uefi,
}

/// Which storage drivers an initramfs gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    /// Those of the devices.
    #[default]
    Listed,
    /// Every one that the slot's kernel has.
    EveryDriver,
}

/// A device that a driver must drive before the machine is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Device {
    /// Where it is in the tree: below `/sys/devices`, when the inventory was taken; some numbers change
    /// with each boot. In a profile, what people call it.
    pub path: String,
    /// What it says it is, as the kernel spells it (file2alias.c); a driver tells by patterns of this
    /// what it drives.
    pub modalias: String,
    /// What it is needed for.
    pub role: Role,
    /// The driver that has it on the machine; none has it, or it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The kernel module that this driver is part of: how to find a driver where the kernel's aliases
    /// do not tell, as of one that is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
}

/// What a device is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The boot disk hangs on it: without its driver the machine does not come up.
    Boot,
    /// The network hangs on it.
    Network,
    /// The machine may have it.
    Possible,
}

/// A disk of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DiskFacts {
    /// The kernel's name of it: `sda`.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// The unit in which it is addressed, in bytes.
    pub logical_block_size: u32,
    /// The unit in which it writes, in bytes.
    pub physical_block_size: u32,
    /// What it calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
}

impl Inventory {
    /// The JSON form, as [`Inventory::parse`] reads it.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// A machine of which nothing is known.
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

    /// Reads the JSON form; `from` says where it stands, for errors.
    pub fn parse(text: &str, from: &str) -> Result<Inventory> {
        let again = "take it again, on that machine: flipslot hardware -o FILE";
        // Looked at before the rest, which another version may tell otherwise.
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
            Err(error) => return Err(refused(format!("{from} is no inventory of a machine: {error}"), again)),
        }
        let inventory: Inventory =
            serde_json::from_str(text).map_err(|error| refused(format!("{from}: {error}"), again))?;
        // These are shown to people, and stand in the record of a slot.
        let odd = |text: &str| text.len() > TEXT_MAX || text.chars().any(char::is_control);
        let texts = inventory.devices.iter().flat_map(|device| [&device.path, &device.modalias]);
        if let Some(text) = texts.chain([&inventory.machine]).chain(&inventory.consoles).find(|text| odd(text)) {
            let start: String = text.chars().take(60).collect();
            let found = format!("{from} holds a text that no machine tells of itself: '{}'", start.escape_debug());
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
            assert!(error.to_string().contains("no machine tells of itself"), "{error}");
        }
    }
}
