//! Sets up network cards in the kernel (rtnetlink(7)).

use crate::error::Result;
use crate::network::cards::Card;
use crate::network::lease::{Lease, Route};
use anyhow::Context;
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::{AddressMessageBuilder, Handle, LinkUnspec, LinkVlan, RouteMessageBuilder};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tokio::runtime::{Builder, Runtime};

/// Smallest packet that every network carries, in bytes (RFC 791: 68), with room to fetch anything in.
const MTU_MIN: u16 = 576;

/// The kernel's network cards.
pub struct Links {
    runtime: Runtime,
    handle: Handle,
}

impl Links {
    /// Begins to talk to the kernel.
    pub fn open() -> Result<Links> {
        let runtime = Builder::new_current_thread().enable_all().build().context("starting to wait")?;
        let connect = || async { rtnetlink::new_connection() };
        let (connection, handle, _) = runtime.block_on(connect()).context("asking the kernel for its network")?;
        runtime.spawn(connection);
        Ok(Links { runtime, handle })
    }

    /// Switches a card on.
    pub fn up(&self, index: u32) -> Result<()> {
        let message = LinkUnspec::new_with_index(index).up().build();
        self.runtime.block_on(self.handle.link().set(message).execute()).context("switching the network card on")
    }

    /// Switches a card off.
    pub fn down(&self, index: u32) -> Result<()> {
        let message = LinkUnspec::new_with_index(index).down().build();
        self.runtime.block_on(self.handle.link().set(message).execute()).context("switching the network card off")
    }

    /// Takes the address from a card, and with it its routes; its packets have the size again that they had.
    pub fn clear(&self, card: &Card, lease: &Lease) -> Result<()> {
        let index = card.index;
        if lease.mtu.is_some() {
            let message = LinkUnspec::new_with_index(index).mtu(card.mtu).build();
            let _ = self.runtime.block_on(self.handle.link().set(message).execute());
        }
        let message = match lease.address {
            IpAddr::V4(address) => {
                AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(address, lease.prefix).build()
            }
            IpAddr::V6(address) => {
                AddressMessageBuilder::<Ipv6Addr>::new().index(index).address(address, lease.prefix).build()
            }
        };
        self.runtime.block_on(self.handle.address().del(message).execute()).context("taking the address back")
    }

    /// Removes a VLAN.
    pub fn remove(&self, index: u32) -> Result<()> {
        self.runtime.block_on(self.handle.link().del(index).execute()).context("removing the VLAN")
    }

    /// Adds a VLAN to a card.
    pub fn add_vlan(&self, name: &str, card: u32, id: u16) -> Result<()> {
        let message = LinkVlan::new(name, card, id).up().build();
        let added = self.runtime.block_on(self.handle.link().add(message).execute());
        added.with_context(|| format!("adding the VLAN {id}, for which the kernel needs 8021q"))
    }

    /// Gives a card its address and routes.
    pub fn set_up(&self, index: u32, lease: &Lease) -> Result<()> {
        if let Some(mtu) = lease.mtu.filter(|mtu| *mtu >= MTU_MIN) {
            let message = LinkUnspec::new_with_index(index).mtu(u32::from(mtu)).build();
            // A card that does not take it still takes smaller packets.
            let _ = self.runtime.block_on(self.handle.link().set(message).execute());
        }
        let adding = self.handle.address().add(index, lease.address, lease.prefix).replace().execute();
        self.runtime.block_on(adding).with_context(|| format!("setting the address {}", lease.address))?;
        for route in &lease.routes {
            let Some(message) = message(index, route) else { continue };
            let adding = self.handle.route().add(message).replace().execute();
            self.runtime.block_on(adding).with_context(|| format!("setting the route by {}", route.via))?;
        }
        Ok(())
    }
}

/// Returns the message for a route; `None` for one from a family of addresses to the other.
fn message(index: u32, route: &Route) -> Option<RouteMessage> {
    match (route.to, route.via) {
        (IpAddr::V4(to), IpAddr::V4(via)) => {
            let builder = RouteMessageBuilder::<Ipv4Addr>::new().output_interface(index);
            let builder = builder.destination_prefix(to, route.prefix);
            // A server may name a router outside of the network (RFC 3442).
            Some(if via.is_unspecified() { builder.build() } else { builder.gateway(via).onlink().build() })
        }
        (IpAddr::V6(to), IpAddr::V6(via)) => {
            let builder = RouteMessageBuilder::<Ipv6Addr>::new().output_interface(index);
            let builder = builder.destination_prefix(to, route.prefix);
            Some(if via.is_unspecified() { builder.build() } else { builder.gateway(via).onlink().build() })
        }
        _ => None,
    }
}
