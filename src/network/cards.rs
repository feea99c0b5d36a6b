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
        Some(Card { name: name.to_owned(), index: read("ifindex")?.parse().ok()?, mac: bytes.try_into().ok()? })
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
