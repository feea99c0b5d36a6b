//! The network cards of this machine, as the kernel lists them (sysfs-class-net in the kernel's documentation).

use crate::network::settings::Which;
use std::fs;
use std::path::Path;

/// Folder of the network cards.
const FOLDER: &str = "/sys/class/net";
/// `type` of Ethernet (linux/if_arp.h, ARPHRD_ETHER).
const ETHERNET: &str = "1";

/// A network card.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Card {
    /// Name: `eth0`.
    pub name: String,
    /// Number by which the kernel knows it.
    pub index: u32,
    /// Hardware address.
    pub mac: [u8; 6],
    /// Largest packet in bytes.
    pub mtu: u32,
}

impl Card {
    /// Reads the card with this name; `None` if there is no such Ethernet device.
    pub fn named(name: &str) -> Option<Card> {
        let read = |attribute: &str| {
            let path = Path::new(FOLDER).join(name).join(attribute);
            fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
        };
        if read("type")? != ETHERNET {
            return None;
        }
        let bytes: Vec<u8> =
            read("address")?.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>().ok()?;
        let number = |attribute: &str| read(attribute)?.parse().ok();
        let (index, mtu) = (number("ifindex")?, number("mtu")?);
        Some(Card { name: name.to_owned(), index, mac: bytes.try_into().ok()?, mtu })
    }

    /// Returns the address as people write it.
    pub fn address(&self) -> String {
        self.mac.map(|byte| format!("{byte:02x}")).join(":")
    }

    /// Returns true once a cable or its like leads to another machine.
    pub fn has_link(&self) -> bool {
        fs::read_to_string(Path::new(FOLDER).join(&self.name).join("carrier")).is_ok_and(|text| text.trim() == "1")
    }
}

/// Returns the cards that are a choice, sorted by name; without the ones that are no hardware.
pub fn matching(which: &Which) -> Vec<Card> {
    let names = fs::read_dir(FOLDER).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let is_hardware = |name: &String| Path::new(FOLDER).join(name).join("device").exists();
    let mut cards: Vec<Card> = names.filter(is_hardware).filter_map(|name| Card::named(&name)).collect();
    cards.retain(|card| match which {
        Which::First => true,
        Which::Name(name) => card.name == *name,
        Which::Mac(mac) => card.address() == *mac,
    });
    cards.sort();
    cards
}

/// Returns the identities of the chips that drive cables, as patterns of modules.alias match them: the 32 bits of each
/// (kernel: linux/mod_devicetable.h, MDIO_ID_FMT), which the kernel says nowhere in that form.
pub fn phys() -> Vec<String> {
    let devices = fs::read_dir("/sys/bus/mdio_bus/devices").into_iter().flatten().flatten();
    let texts = devices.filter_map(|device| fs::read_to_string(device.path().join("phy_id")).ok());
    texts.filter_map(|text| phy(&text)).collect()
}

fn phy(text: &str) -> Option<String> {
    let id = u32::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()?;
    Some(format!("mdio:{id:032b}"))
}

/// Returns what is there, for a sentence.
pub fn what_is_there() -> String {
    let cards = matching(&Which::First);
    if cards.is_empty() {
        return "this machine has no network card with a driver in this initramfs".to_owned();
    }
    let said = cards.iter().map(|card| {
        let link = if card.has_link() { "with a link" } else { "without a link" };
        format!("{} ({}, {link})", card.name, card.address())
    });
    format!("there are: {}", said.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::pattern::is_match;

    #[test]
    fn a_chip_is_found_by_its_bits() {
        let realtek = phy("0x001cc915\n").unwrap();
        assert!(is_match("mdio:00000000000111001100100100010101", &realtek), "{realtek}");
        assert!(is_match("mdio:0000000000011100110010??????????", &realtek));
        assert_eq!(phy("none"), None);
    }
}
