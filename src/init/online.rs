//! A network card with an address: found as its driver comes, tried one after another, and left as it was found.

use crate::error::{Result, failed};
use crate::init::devices::{Event, Events, modaliases};
use crate::init::kernel_log::{Level, log};
use crate::init::load::Loader;
use crate::network::addresses;
use crate::network::cards::{self, Card};
use crate::network::child;
use crate::network::dhcp::{self, CLIENT_PORT, SERVER_PORT, socket_on};
use crate::network::lease::{Lease, Route};
use crate::network::links::Links;
use crate::network::settings::{Addressing, Settings};
use anyhow::Context;
use std::collections::BTreeSet;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Time after which a network that gives no address is an error: a switch may take 50 s to let packets through
/// (IEEE 802.1D, 8.10.2).
const PATIENCE: Duration = Duration::from_secs(120);
/// Time that one card has to get an address before the next is tried.
const EACH: Duration = Duration::from_secs(20);
/// Interval at which links and addresses are looked at.
const EVERY: Duration = Duration::from_millis(20);
/// Pause after a card that got no address.
const PAUSE: Duration = Duration::from_secs(1);
/// Time for the server's hardware address to be found, without which a lease that is given back does not reach it.
const TO_FIND: Duration = Duration::from_millis(500);

/// The cards of this machine, of which one after another is tried.
pub struct Cards<'c, 'p> {
    settings: &'c Settings,
    links: Links,
    /// Empty folder for the roots of processes.
    hall: &'c Path,
    events: &'c Events,
    loader: &'c mut Loader<'p>,
    /// Numbers of the cards that were switched on.
    switched_on: BTreeSet<u32>,
    /// Numbers of the cards that were tried since all of them were.
    tried: BTreeSet<u32>,
    begin: Instant,
}

/// A network card with an address.
pub struct Online {
    /// The card, or its VLAN.
    pub card: Card,
    /// Its address.
    pub lease: Lease,
}

impl<'c, 'p> Cards<'c, 'p> {
    /// Loads the drivers of the devices that are there.
    pub fn find(
        settings: &'c Settings,
        hall: &'c Path,
        events: &'c Events,
        loader: &'c mut Loader<'p>,
    ) -> Result<Cards<'c, 'p>> {
        let (switched_on, tried, begin) = (BTreeSet::new(), BTreeSet::new(), Instant::now());
        let mut cards = Cards { settings, links: Links::open()?, hall, events, loader, switched_on, tried, begin };
        cards.load(&modaliases());
        if settings.vlan.is_some() {
            cards.loader.load(&["8021q"]);
        }
        Ok(cards)
    }

    /// Waits for the next card with a link, and gives it an address. `problem` is what the last one ended with, which
    /// becomes the error when time is up and no card is left.
    pub fn next(&mut self, mut problem: Option<anyhow::Error>) -> Result<Online> {
        loop {
            let choice = cards::matching(&self.settings.card);
            for card in choice.iter().filter(|card| !self.switched_on.contains(&card.index)).collect::<Vec<_>>() {
                self.switched_on.insert(card.index);
                if let Err(error) = self.links.up(card.index) {
                    log(Level::Warning, &format!("{}: {error:#}", card.name));
                    problem = Some(error);
                }
            }
            let linked: Vec<&Card> = choice.iter().filter(|card| card.has_link()).collect();
            let Some(card) = linked.iter().find(|card| !self.tried.contains(&card.index)) else {
                if self.begin.elapsed() >= PATIENCE {
                    return Err(problem.unwrap_or_else(nothing_linked));
                }
                if !linked.is_empty() {
                    self.tried.clear();
                    sleep(PAUSE);
                }
                self.wait();
                continue;
            };
            self.tried.insert(card.index);
            match self.online(card) {
                Ok(online) => return Ok(online),
                Err(error) => {
                    log(Level::Warning, &format!("{}: {error:#}", card.name));
                    problem = Some(error);
                }
            }
        }
    }

    /// Returns true if another card may lead to the server.
    pub fn has_another(&self) -> bool {
        let linked = cards::matching(&self.settings.card).into_iter().filter(Card::has_link);
        linked.into_iter().any(|card| !self.tried.contains(&card.index))
    }

    /// Waits a moment for new devices, and loads their drivers.
    fn wait(&mut self) {
        let news = self.events.wait(Some(EVERY));
        let came: Vec<String> = match news.contains(&Event::Lost) {
            true => modaliases(),
            false => news
                .into_iter()
                .filter_map(|event| if let Event::Device { modalias } = event { Some(modalias) } else { None })
                .collect(),
        };
        if !came.is_empty() {
            self.load(&came);
        }
    }

    /// Loads drivers of devices, and those that the kernel would ask modprobe(8) for, which is not there: of the chips
    /// that drive cables, and of the Ethernet half of mlx4.
    fn load(&mut self, modaliases: &[String]) {
        self.loader.load_for(modaliases);
        self.loader.load_for(&cards::phys());
        if Path::new("/sys/module/mlx4_core").exists() {
            self.loader.load(&["mlx4_en"]);
        }
    }

    /// Gives a card an address.
    fn online(&self, card: &Card) -> Result<Online> {
        let card = match self.settings.vlan {
            None => card.clone(),
            Some(id) => {
                let name = format!("{}.{id}", card.name);
                self.links.add_vlan(&name, card.index, id)?;
                Card::named(&name).with_context(|| format!("{name} was added, and is not there"))?
            }
        };
        let lease = match self.lease(&card) {
            Ok(lease) => lease,
            Err(error) => {
                let _ = self.leave(&Online { card, lease: Lease::none() });
                return Err(error);
            }
        };
        let online = Online { card, lease };
        if online.lease.prefix == 0 {
            return Ok(online); // the kernel has set it
        }
        match self.links.set_up(online.card.index, &online.lease) {
            Ok(()) => Ok(online),
            Err(error) => {
                let _ = self.leave(&online);
                Err(error)
            }
        }
    }

    fn lease(&self, card: &Card) -> Result<Lease> {
        match &self.settings.addressing {
            Addressing::Dhcp => child::lease(socket_on(&card.name)?, card.mac, EACH, self.hall),
            Addressing::RouterAdvertisement { dns } => {
                advertised(card)?;
                Ok(Lease { dns: dns.clone(), ..Lease::none() })
            }
            Addressing::Static { address, prefix, gateway, dns } => Ok(Lease {
                address: *address,
                prefix: *prefix,
                routes: gateway.map(Route::to_all).into_iter().collect(),
                dns: dns.clone(),
                ..Lease::none()
            }),
        }
    }

    /// Takes a card's address and VLAN away again, whatever goes wrong; returns the first error.
    pub fn leave(&self, online: &Online) -> Result<()> {
        let Online { card, lease } = online;
        let released = give_back(card, lease);
        let cleared = if lease.prefix > 0 { self.links.clear(card, lease) } else { Ok(()) };
        let removed = if self.settings.vlan.is_some() { self.links.remove(card.index) } else { Ok(()) };
        released.and(cleared).and(removed)
    }

    /// Switches all cards off that were switched on: the system that starts renames them, which cannot be done to one that
    /// is up (before Linux 6.3).
    pub fn switch_off(&self) {
        for index in &self.switched_on {
            // One that is gone needs nothing.
            let _ = self.links.down(*index);
        }
    }
}

fn nothing_linked() -> anyhow::Error {
    let found = format!("no network card that was asked for has a link; {}", cards::what_is_there());
    failed(found, "see its cable, and flipslot.net=")
}

/// Waits for what the kernel makes of a router's advertisements.
fn advertised(card: &Card) -> Result<()> {
    let begin = Instant::now();
    while !addresses::has_ipv6(&card.name) {
        if begin.elapsed() >= EACH {
            let found = format!("no router on {} advertises a network within {} s", card.name, EACH.as_secs());
            return Err(failed(found, "see that one does, or use flipslot.net=dhcp"));
        }
        sleep(EVERY);
    }
    Ok(())
}

/// Gives a lease back: the system that starts asks for an address of its own, and the server has one for each machine.
fn give_back(card: &Card, lease: &Lease) -> Result<()> {
    let (IpAddr::V4(address), Some(server)) = (lease.address, lease.server) else { return Ok(()) };
    let giving = || format!("giving the lease of {address} back");
    let message = dhcp::release(card.mac, address, server).with_context(giving)?;
    let socket = UdpSocket::bind((address, CLIENT_PORT)).with_context(giving)?;
    socket.send_to(&message, (server, SERVER_PORT)).with_context(giving)?;
    // The kernel holds the message until it knows where to send it, and forgets it when the card goes down.
    let begin = Instant::now();
    while !addresses::has_neighbour(&card.name, server) && begin.elapsed() < TO_FIND {
        sleep(EVERY);
    }
    Ok(())
}
