//! `flipslot.net=`: which network card, and how it gets its address.

use crate::error::{Result, failed};
use std::net::IpAddr;

/// The network of a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Card to use.
    pub card: Which,
    /// VLAN on that card (IEEE 802.1Q), if it is not the card itself.
    pub vlan: Option<u16>,
    /// Origin of its address.
    pub addressing: Addressing,
}

/// A choice of a network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The first with a link.
    First,
    /// The one with this name, as the kernel gives it: `eth0`.
    Name(String),
    /// The one with this address, in lower case with `:`.
    Mac(String),
}

/// An origin of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressing {
    /// A server of DHCP (RFC 2131).
    Dhcp,
    /// The router's advertisements (RFC 4862), which the kernel reads, but for the name servers in them.
    RouterAdvertisement {
        /// Addresses of name servers.
        dns: Vec<IpAddr>,
    },
    /// The word itself.
    Static {
        /// Address.
        address: IpAddr,
        /// Length of its network's prefix in bits.
        prefix: u8,
        /// Address of the router, if there is one.
        gateway: Option<IpAddr>,
        /// Addresses of name servers.
        dns: Vec<IpAddr>,
    },
}

/// Hint for a word that cannot be read.
const FORM: &str = "write dhcp, dhcp:eth0, dhcp:52:54:00:12:34:56, ra, ra,DNS or ADDRESS/LENGTH,GATEWAY,DNS";

impl Settings {
    /// Reads the word's value, or none, and that of `BOOTIF=`, by which boot loaders say which card they used
    /// (PXELINUX: `01-` and the address with `-`).
    pub fn read(net: Option<&str>, booted_by: Option<&str>) -> Result<Settings> {
        let text = net.unwrap_or("dhcp");
        let (text, of_ra) = match text.strip_prefix("ra").and_then(|rest| rest.split_once(',')) {
            Some((card, dns)) => (&text[..2 + card.len()], dns),
            None => (text, ""),
        };
        let (kind, card) = text.split_once(':').unwrap_or((text, ""));
        let booted_by = booted_by.and_then(|text| mac(text.strip_prefix("01-").unwrap_or(text)));
        let usual = || booted_by.map_or(Which::First, Which::Mac);
        let addressing = match kind {
            "dhcp" => Addressing::Dhcp,
            "ra" => {
                let servers = of_ra.split(',').filter(|server| !server.is_empty()).map(str::parse);
                let dns = servers.collect::<Result<_, _>>().map_err(|_| {
                    failed(format!("flipslot.net=ra,{} names no name servers", of_ra.escape_debug()), FORM)
                })?;
                Addressing::RouterAdvertisement { dns }
            }
            _ => {
                let addressing = fixed(text);
                let addressing = addressing
                    .ok_or_else(|| failed(format!("flipslot.net={} is not a network", text.escape_debug()), FORM))?;
                return Ok(Settings { card: usual(), vlan: None, addressing });
            }
        };
        let (card, vlan) = match card.rsplit_once('.').and_then(|(card, id)| Some((card, vlan(id)?))) {
            Some((card, id)) => (card, Some(id)),
            None => (card, None),
        };
        let card = match mac(card) {
            _ if card.is_empty() => usual(),
            Some(mac) => Which::Mac(mac),
            None => Which::Name(card.to_owned()),
        };
        Ok(Settings { card, vlan, addressing })
    }
}

/// Reads the identifier of a VLAN: 1 to 4094 (IEEE 802.1Q).
fn vlan(text: &str) -> Option<u16> {
    text.parse().ok().filter(|id| (1..=4094).contains(id))
}

/// Reads an address of six bytes, with `:` or `-` between them.
fn mac(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let is_byte = |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    (parts.len() == 6 && parts.iter().all(is_byte)).then(|| parts.join(":").to_ascii_lowercase())
}

/// Reads `ADDRESS/LENGTH[,GATEWAY[,DNS…]]`; an empty gateway is none.
fn fixed(text: &str) -> Option<Addressing> {
    let mut parts = text.split(',');
    let (address, prefix) = parts.next()?.split_once('/')?;
    let (address, prefix): (IpAddr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let gateway = parts.next().filter(|gateway| !gateway.is_empty());
    let gateway: Option<IpAddr> = gateway.map(str::parse).transpose().ok()?;
    let dns = parts.map(str::parse).collect::<Result<Vec<IpAddr>, _>>().ok()?;
    let fits = (1..=longest).contains(&prefix) && gateway.is_none_or(|gateway| gateway.is_ipv4() == address.is_ipv4());
    fits.then_some(Addressing::Static { address, prefix, gateway, dns })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(net: &str) -> Settings {
        Settings::read(Some(net), None).unwrap()
    }

    #[test]
    fn a_card_is_named_by_its_name_or_address_or_by_the_boot_loader() {
        let usual = Settings::read(None, None).unwrap();
        assert_eq!(usual, Settings { card: Which::First, vlan: None, addressing: Addressing::Dhcp });
        assert_eq!(read("dhcp:eth0").card, Which::Name("eth0".to_owned()));
        assert_eq!(read("dhcp:52-54-00-AB-34-56").card, Which::Mac("52:54:00:ab:34:56".to_owned()));
        let booted = Settings::read(None, Some("01-52-54-00-ab-34-56")).unwrap();
        assert_eq!(booted.card, Which::Mac("52:54:00:ab:34:56".to_owned()));
        let named = Settings::read(Some("dhcp:eth1"), Some("01-52-54-00-ab-34-56")).unwrap();
        assert_eq!(named.card, Which::Name("eth1".to_owned()), "the word counts");
        assert_eq!(read("ra:eth0").addressing, Addressing::RouterAdvertisement { dns: Vec::new() });
        let with_dns = read("ra:eth0,fd00::1");
        assert_eq!(with_dns.card, Which::Name("eth0".to_owned()));
        assert_eq!(with_dns.addressing, Addressing::RouterAdvertisement { dns: vec!["fd00::1".parse().unwrap()] });
    }

    #[test]
    fn a_vlan_follows_the_card() {
        assert_eq!((read("dhcp:eth0.5").card, read("dhcp:eth0.5").vlan), (Which::Name("eth0".to_owned()), Some(5)));
        let of_mac = read("dhcp:52:54:00:12:34:56.4094");
        assert_eq!((of_mac.card, of_mac.vlan), (Which::Mac("52:54:00:12:34:56".to_owned()), Some(4094)));
        assert_eq!(read("dhcp:eth0.4095").card, Which::Name("eth0.4095".to_owned()), "not the number of a VLAN");
    }

    #[test]
    fn an_address_may_stand_in_the_word() {
        let [address, gateway]: [IpAddr; 2] = ["10.0.0.5", "10.0.0.1"].map(|text| text.parse().unwrap());
        assert_eq!(
            read("10.0.0.5/24,10.0.0.1,10.0.0.1").addressing,
            Addressing::Static { address, prefix: 24, gateway: Some(gateway), dns: vec![gateway] }
        );
        assert!(matches!(read("10.0.0.5/24").addressing, Addressing::Static { gateway: None, .. }));
        assert!(matches!(read("fd00::5/64,,fd00::1").addressing, Addressing::Static { gateway: None, prefix: 64, .. }));
        for odd in
            ["", "10.0.0.5", "10.0.0.5/33", "10.0.0.5/0", "10.0.0.5/24,fd00::1", "10.0.0.5/24,x", "nfs:eth0", "ra,x"]
        {
            assert!(Settings::read(Some(odd), None).is_err(), "{odd}");
        }
    }
}
