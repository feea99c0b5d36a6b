//! An image on a server: finds a network card, gives it an address, and fetches the image into memory, once.

use crate::error::{Result, failed, hint};
use crate::init::devices::{Event, Events, modaliases};
use crate::init::kernel_log::{Level, log};
use crate::init::load::Loader;
use crate::init::overlay::FOLDER;
use crate::init::words::Words;
use crate::network::cards::{self, Card};
use crate::network::child::{self, Order};
use crate::network::dhcp::{self, CLIENT_PORT, SERVER_PORT};
use crate::network::lease::{Lease, Route};
use crate::network::links::Links;
use crate::network::settings::{Addressing, Settings, Which};
use crate::network::{addresses, fetch};
use crate::words::units::Bytes;
use anyhow::Context;
use rustix::mount::{MountFlags, mount};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Time after which a network that gives no address is an error: a switch may take 50 s to let packets through
/// (IEEE 802.1D, 8.10.2).
const PATIENCE: Duration = Duration::from_secs(120);
/// Time that one card has to get an address before the next is tried.
const EACH: Duration = Duration::from_secs(20);
/// Interval at which links are looked at.
const EVERY: Duration = Duration::from_millis(20);
/// Pause after a card that got no address.
const PAUSE: Duration = Duration::from_secs(1);
/// Memory in bytes that must be left beside an image: for the kernel, and a system that starts.
const RESERVE: u64 = 48 << 20;

/// An image that was fetched.
pub struct Fetched {
    /// Path of its file.
    pub file: String,
    /// Name that the network has for this machine.
    pub host: Option<String>,
}

/// A network card with an address.
struct Online {
    card: Card,
    lease: Lease,
}

/// Fetches the image at `url` into memory, and fails unless it has this SHA-256 digest.
pub fn fetch(url: &str, digest: &str, words: &Words, events: &Events, loader: &mut Loader) -> Result<Fetched> {
    let settings = Settings::read(words.net.as_deref(), words.booted_by.as_deref())?;
    let hall = format!("{FOLDER}/hall");
    fs::create_dir_all(&hall).context("making a folder")?;
    let links = Links::open()?;
    let online = go_online(&settings, &links, Path::new(&hall), &mut Drivers { events, loader })?;
    let Online { card, lease } = &online;
    let address = if lease.prefix == 0 { "that a router advertises".to_owned() } else { lease.address.to_string() };
    log(Level::Info, &format!("{} has the address {address}", card.name));
    let file = download(url, digest, lease, Path::new(&hall))?;
    if let Err(error) = go_offline(&online, &settings, &links) {
        log(Level::Warning, &format!("{}: {error:#}", card.name));
    }
    Ok(Fetched { file, host: lease.host.clone() })
}

/// The drivers of network cards, which are loaded as the cards appear.
struct Drivers<'d, 'p> {
    events: &'d Events,
    loader: &'d mut Loader<'p>,
}

impl Drivers<'_, '_> {
    /// Waits a moment for new devices, and loads their drivers.
    fn wait(&mut self) {
        let news = self.events.wait(Some(EVERY));
        if news.contains(&Event::Lost) {
            self.loader.load_for(&modaliases());
        }
        let came = |event| if let Event::Device { modalias } = event { Some(modalias) } else { None };
        self.loader.load_for(&news.into_iter().filter_map(came).collect::<Vec<_>>());
    }
}

/// Waits for a card with a link and an address; tries one after another where more than one is a choice.
fn go_online(settings: &Settings, links: &Links, hall: &Path, drivers: &mut Drivers) -> Result<Online> {
    let begin = Instant::now();
    drivers.loader.load_for(&modaliases());
    if settings.vlan.is_some() {
        drivers.loader.load(&["8021q"]);
    }
    let (mut switched_on, mut tried, mut problem) = (BTreeSet::new(), BTreeSet::new(), None);
    while begin.elapsed() < PATIENCE {
        let choice = cards::matching(&settings.card);
        for card in &choice {
            if switched_on.insert(card.name.clone()) {
                links.up(card.index)?;
            }
        }
        let linked: Vec<&Card> = choice.iter().filter(|card| card.has_link()).collect();
        let Some(card) = linked.iter().find(|card| !tried.contains(&card.name)) else {
            if !linked.is_empty() {
                tried.clear();
            }
            drivers.wait();
            continue;
        };
        tried.insert(card.name.clone());
        match online(card, settings, links, hall) {
            Ok(online) => return Ok(online),
            Err(error) => {
                log(Level::Warning, &format!("{}: {error:#}", card.name));
                problem = Some(error);
                std::thread::sleep(PAUSE);
            }
        }
    }
    Err(problem.unwrap_or_else(|| {
        let found = format!("no network card that was asked for has a link; {}", cards::what_is_there());
        failed(found, "see its cable, and flipslot.net=")
    }))
}

/// Gives a card an address.
fn online(card: &Card, settings: &Settings, links: &Links, hall: &Path) -> Result<Online> {
    let card = match settings.vlan {
        None => card.clone(),
        Some(id) => {
            let name = format!("{}.{id}", card.name);
            if Card::named(&name).is_none() {
                links.add_vlan(&name, card.index, id)?;
            }
            Card::named(&name).with_context(|| format!("{name} was added, and is not there"))?
        }
    };
    let lease = match &settings.addressing {
        Addressing::Dhcp => child::lease(socket(&card)?, card.mac, EACH, hall)?,
        Addressing::RouterAdvertisement => {
            advertised(&card)?;
            return Ok(Online { card, lease: Lease::none() });
        }
        Addressing::Static { address, prefix, gateway, dns } => Lease {
            address: *address,
            prefix: *prefix,
            routes: gateway.map(Route::to_all).into_iter().collect(),
            dns: dns.clone(),
            ..Lease::none()
        },
    };
    links.set_up(card.index, &lease)?;
    Ok(Online { card, lease })
}

/// Waits for what the kernel makes of a router's advertisements.
fn advertised(card: &Card) -> Result<()> {
    let begin = Instant::now();
    while !addresses::has_ipv6(&card.name) {
        if begin.elapsed() >= EACH {
            let found = format!("no router on {} advertises a network within {} s", card.name, EACH.as_secs());
            return Err(failed(found, "see that one does, or use flipslot.net=dhcp"));
        }
        std::thread::sleep(EVERY);
    }
    Ok(())
}

/// Opens the socket for DHCP on a card that has no address yet.
fn socket(card: &Card) -> Result<UdpSocket> {
    let opening = || format!("opening a socket on {}", card.name);
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).with_context(opening)?;
    socket.bind_device(Some(card.name.as_bytes())).with_context(opening)?;
    socket.set_broadcast(true).with_context(opening)?;
    socket.set_reuse_address(true).with_context(opening)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, CLIENT_PORT)).into()).with_context(opening)?;
    Ok(socket.into())
}

/// Fetches into memory; returns the path of the file.
fn download(url: &str, digest: &str, lease: &Lease, hall: &Path) -> Result<String> {
    let begin = Instant::now();
    let order = Order::Fetch { url: url.to_owned(), dns: lease.dns.clone() };
    let mut process = child::start(&order, hall, Stdio::null())?;
    let mut input = process.stdout.take().context("reading what comes")?;
    let Ok(length) = fetch::length(&mut input) else {
        child::ended(process)?;
        return Err(failed("the process that fetches ends without a word", ""));
    };
    let kept = keep(input, length, digest);
    if kept.is_err() {
        let _ = process.kill();
    }
    let ended = child::ended(process);
    // A transfer that broke off is told by the process that saw it.
    let file = match (kept, ended) {
        (Ok(file), _) => file,
        (Err(_), Err(error)) if hint(&error).is_none() && !error.to_string().contains("signal") => return Err(error),
        (Err(error), _) => return Err(error),
    };
    log(Level::Info, &format!("{} from {url} in {:.1} s", Bytes(length), begin.elapsed().as_secs_f64()));
    Ok(file)
}

/// Writes what comes into memory of its size.
fn keep(input: impl std::io::Read, length: u64, digest: &str) -> Result<String> {
    let available = memory_available()?;
    if length.saturating_add(RESERVE) > available {
        let found =
            format!("the image has {}, and this machine has {} of memory left", Bytes(length), Bytes(available));
        return Err(failed(
            found,
            "give the machine more memory, or compress the image: flipslot netboot --format squashfs",
        ));
    }
    let place = format!("{FOLDER}/memory");
    fs::create_dir_all(&place).context("making a folder")?;
    let options = CString::new(format!("mode=0700,size={}", length.next_multiple_of(4096) + 4096))?;
    mount(c"tmpfs", &place, c"tmpfs", MountFlags::NODEV | MountFlags::NOSUID, options.as_c_str())
        .context("mounting memory for the image")?;
    let path = format!("{place}/image");
    let mut file = File::create_new(&path).context("making a file in memory")?;
    fetch::receive(input, length, digest, &mut file)?;
    Ok(path)
}

/// Returns the memory that can be had without swapping, in bytes (proc(5), MemAvailable).
fn memory_available() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.context("reading MemAvailable of /proc/meminfo")?.saturating_mul(1024))
}

/// Leaves the network as it was found, for the system that starts: it asks for an address of its own, so that the server
/// has one lease for each machine, and it renames cards, which cannot be done to one that is up (before Linux 6.3).
fn go_offline(online: &Online, settings: &Settings, links: &Links) -> Result<()> {
    let Online { card, lease } = online;
    if let (IpAddr::V4(address), Some(server)) = (lease.address, lease.server) {
        let message = dhcp::release(card.mac, address, server)?;
        let socket = UdpSocket::bind((address, CLIENT_PORT)).context("giving the lease back")?;
        socket.send_to(&message, (server, SERVER_PORT)).context("giving the lease back")?;
    }
    if lease.prefix > 0 {
        links.clear(card.index, lease)?;
    }
    if settings.vlan.is_some() {
        links.remove(card.index)?;
    }
    cards::matching(&Which::First).iter().try_for_each(|card| links.down(card.index))
}
