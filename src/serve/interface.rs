//! The network card that machines are behind, and the addresses of its network.

use crate::error::{Result, refused};
use crate::network::cards::Card;
use crate::network::dhcp::{Client, SERVER_PORT, socket_on};
use crate::tool::Tool;
use anyhow::Context;
use ipnet::Ipv4Net;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::Deserialize;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The most addresses that are handed out.
const RANGE_MAX: u32 = 100;
/// Time for another DHCP server to answer. One that pings an address before it offers it takes 3 s (dnsmasq, config.h,
/// PING_WAIT).
const TO_ANSWER: Duration = Duration::from_secs(7);

/// A network card of this machine.
#[derive(Debug)]
pub struct Interface {
    /// Name of it.
    pub name: String,
    /// Its addresses, with their networks.
    pub networks: Vec<Ipv4Net>,
}

/// The output of `ip -json address show`.
#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    family: String,
    local: Option<String>,
    prefixlen: u8,
}

impl Interface {
    /// Reads the card with this name. Refuses one that is not there.
    pub fn named(name: &str) -> Result<Interface> {
        if Card::named(name).is_none() {
            let found = format!("there is no Ethernet device '{}' on this machine", name.escape_debug());
            return Err(refused(found, "name one of: ip link"));
        }
        let printed =
            Tool::new("ip").args(["-json", "address", "show", "dev", name]).hint("apt-get install iproute2").run()?;
        let shown: Vec<Shown> = serde_json::from_str(&printed.stdout).context("reading what ip printed")?;
        let addresses = shown.into_iter().flat_map(|shown| shown.addr_info).filter(|address| address.family == "inet");
        let network = |address: Address| Ipv4Net::new(address.local?.parse().ok()?, address.prefixlen).ok();
        Ok(Interface { name: name.to_owned(), networks: addresses.filter_map(network).collect() })
    }

    /// Returns the network in which this machine has the address of `host`, as the folder's address names it.
    pub fn network_of(&self, host: &str, url: &str) -> Result<Ipv4Net> {
        let network = self.networks.iter().find(|network| network.addr().to_string() == host);
        network.copied().ok_or_else(|| {
            let addresses = self.networks.iter().map(|network| network.addr().to_string()).collect::<Vec<_>>();
            let has = if addresses.is_empty() { "no address of IPv4".to_owned() } else { addresses.join(" and ") };
            let example = addresses.first().map_or("ADDRESS", String::as_str);
            let found = format!("machines look for the folder at {url}, and {} has {has}", self.name);
            refused(found, format!("write the folder again: flipslot netboot … --url http://{example}/boot"))
        })
    }

    /// Returns a DHCP server that answers on this network, if there is one.
    pub fn other_server(&self) -> Result<Option<Ipv4Addr>> {
        let Some(card) = Card::named(&self.name) else { return Ok(None) };
        let mut exchange = [0; 4];
        getrandom(&mut exchange, GetRandomFlags::empty()).context("asking the kernel for a random number")?;
        let (socket, server) = (socket_on(&self.name)?, (Ipv4Addr::BROADCAST, SERVER_PORT).into());
        let client = Client { socket: &socket, server, mac: card.mac, exchange: u32::from_le_bytes(exchange) };
        client.offer(TO_ANSWER)
    }
}

/// Returns the first and the last address to hand out in a network: from its middle on, without its own last one.
pub fn range(network: Ipv4Net) -> Result<(Ipv4Addr, Ipv4Addr)> {
    let size = u32::MAX.checked_shr(u32::from(network.prefix_len())).unwrap_or(0); // without the first
    if size < 7 {
        let found = format!("{network} is too small a network to hand out addresses in");
        return Err(refused(found, "use a network of /28 or larger, or --proxy-dhcp beside another server"));
    }
    let base = u32::from(network.network());
    let first = base + size / 2 + 1;
    let last = (base + size - 1).min(first + RANGE_MAX - 1);
    Ok((first.into(), last.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_handed_out_from_the_middle_of_the_network() {
        let of = |text: &str| range(text.parse().unwrap()).map(|(first, last)| format!("{first} {last}"));
        assert_eq!(of("10.77.0.1/24").unwrap(), "10.77.0.128 10.77.0.227");
        assert_eq!(of("192.168.5.9/28").unwrap(), "192.168.5.8 192.168.5.14");
        assert_eq!(of("10.0.0.1/8").unwrap(), "10.128.0.0 10.128.0.99");
        assert!(of("10.0.0.1/30").is_err() && of("10.0.0.1/32").is_err());
    }

    #[test]
    fn machines_must_find_the_folder_on_this_card() {
        let card = Interface { name: "br0".to_owned(), networks: vec!["10.77.0.1/24".parse().unwrap()] };
        assert_eq!(card.network_of("10.77.0.1", "").unwrap().to_string(), "10.77.0.1/24");
        let said = card.network_of("10.0.0.1", "http://10.0.0.1/boot").unwrap_err().to_string();
        assert!(said.contains("at http://10.0.0.1/boot, and br0 has 10.77.0.1"), "{said}");
    }
}
