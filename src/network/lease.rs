//! The lease of a machine: an address, routes, name servers.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A lease of DHCP, or what a word says in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Address.
    pub address: IpAddr,
    /// Length of its network's prefix in bits.
    pub prefix: u8,
    /// Routes, in the order in which they are set.
    pub routes: Vec<Route>,
    /// Addresses of name servers.
    pub dns: Vec<IpAddr>,
    /// Name of the machine, as the server has it.
    #[serde(default)]
    pub host: Option<String>,
    /// Name of the domain, in which short names are looked for.
    #[serde(default)]
    pub domain: Option<String>,
    /// Largest packet of the network in bytes.
    #[serde(default)]
    pub mtu: Option<u16>,
    /// Address of the server, to which the lease is given back.
    #[serde(default)]
    pub server: Option<Ipv4Addr>,
}

impl Lease {
    /// Returns a lease of nothing.
    pub fn none() -> Lease {
        Lease {
            address: Ipv6Addr::UNSPECIFIED.into(),
            prefix: 0,
            routes: Vec::new(),
            dns: Vec::new(),
            host: None,
            domain: None,
            mtu: None,
            server: None,
        }
    }
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Address of the network that it leads to; unspecified for all.
    pub to: IpAddr,
    /// Length of that network's prefix in bits.
    pub prefix: u8,
    /// Address of the router; unspecified where the network is on the link.
    pub via: IpAddr,
}

impl Route {
    /// Returns the route to everywhere by this router.
    pub fn to_all(via: IpAddr) -> Route {
        let to = if via.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        Route { to, prefix: 0, via }
    }
}
