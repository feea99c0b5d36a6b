//! The processes that read what strangers send: this program, started again with an order.

use crate::error::{Result, failed};
use crate::network::dhcp::{Client, SERVER_PORT};
use crate::network::fetch;
use crate::network::lease::Lease;
use crate::network::reverse;
use crate::network::walls::{Reach, put_up};
use crate::network::wanted::{Wanted, is_name};
use crate::oci::trust;
use crate::sys::environment;
use crate::words::host_name::is_host_name;
use anyhow::{Context, Error};
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{Read, Write, stdin, stdout};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// First argument with which this program becomes such a process.
pub const VERB: &str = "read-network";
/// Second argument, where the order is on standard input.
const ON_INPUT: &str = "-";
/// Certificate authorities of an initramfs; without this file, those of Mozilla count.
pub const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// File in the process's own root, for code that loads the system's authorities (openssl(1), SSL_CERT_FILE).
const OWN_AUTHORITIES: &str = "authorities.pem";
/// Hint where a process has failed: what it says is for a command, and not for an initramfs.
const NEXT: &str = "see that network and server are up, and the words of the command line (docs/netboot.md)";
/// Time for a process to end once its work is done.
const TO_END: Duration = Duration::from_secs(30);
/// Longest text that is read of it, in bytes: a lease, or an error.
const TEXT_MAX: u64 = 16 << 10;

/// An order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Ask for an address on the socket that is standard input, and print the lease.
    Lease {
        /// Hardware address.
        mac: [u8; 6],
        /// Number of the exchange, which nobody can guess.
        exchange: u32,
        /// Seconds to try for.
        seconds: u64,
    },
    /// Print the name that name servers have for an address, or nothing.
    NameOf {
        /// It.
        address: IpAddr,
        /// Addresses of name servers.
        dns: Vec<IpAddr>,
        /// Seconds for a question.
        seconds: u64,
    },
    /// Print what a server has, as [`fetch::send`] does.
    Fetch {
        /// It.
        what: Wanted,
        /// Addresses of name servers.
        dns: Vec<IpAddr>,
        /// Domain in which short names are looked for.
        search: Option<String>,
        /// Seconds for which a server that does not answer is asked.
        seconds: u64,
    },
    /// Print the length of the file at an address, and write its bytes into the file that is standard input.
    Keep {
        /// The address.
        url: String,
        /// Addresses of name servers.
        dns: Vec<IpAddr>,
        /// Domain in which short names are looked for.
        search: Option<String>,
        /// Seconds for which a server that does not answer is asked.
        seconds: u64,
        /// The most bytes that it may have.
        room: u64,
    },
}

/// Starts a process with `order`; `hall` is an empty folder for its root.
#[allow(clippy::disallowed_methods)] // there is nothing here yet that it could inherit
pub fn start(order: &Order, hall: &Path, input: Stdio) -> Result<Child> {
    random()?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(VERB).arg(serde_json::to_string(order)?).arg(hall).env_clear();
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().context("starting a process that reads the network")
}

/// Starts a process whose order may hold a login: it is on its standard input, for arguments can be read by all that run.
#[allow(clippy::disallowed_methods)] // as above
pub fn start_in_private(order: &Order, hall: &Path) -> Result<Child> {
    random()?;
    let mut command = Command::new("/proc/self/exe");
    command.args([VERB, ON_INPUT]).arg(hall).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("starting a process that reads the network")?;
    let input = child.stdin.take().context("handing over the order")?;
    serde_json::to_writer(input, order).context("handing over the order")?;
    Ok(child)
}

/// Waits for the end of a process; an error is what it said.
pub fn ended(mut child: Child) -> Result<()> {
    let said = said(&mut child);
    if !ends(&mut child) {
        let _ = child.kill();
    }
    let status = child.wait().context("waiting for the process that reads the network")?;
    if status.success() {
        return Ok(());
    }
    Err(failed(if said.is_empty() { format!("the process that reads the network: {status}") } else { said }, NEXT))
}

/// Reads what a process says until it ends, or its time is over.
fn said(child: &mut Child) -> String {
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = fetch::Timed::new(stderr, TO_END).take(TEXT_MAX).read_to_end(&mut said);
    }
    String::from_utf8_lossy(&said).trim().to_owned()
}

/// Returns true if a process ends by itself that has done its work.
fn ends(child: &mut Child) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < TO_END {
        match child.try_wait() {
            Ok(None) => thread::sleep(Duration::from_millis(10)),
            _ => return true,
        }
    }
    false
}

/// Returns what a process said that ends within a second with an error.
pub fn ended_soon(child: &mut Child) -> Option<Error> {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        match child.try_wait() {
            Ok(Some(status)) if !status.success() => return Some(failed(said(child), NEXT)),
            Ok(Some(_)) | Err(_) => return None,
            Ok(None) => thread::sleep(Duration::from_millis(10)),
        }
    }
    None
}

/// Asks for an address on `socket`, which is bound to a network card.
pub fn lease(socket: UdpSocket, mac: [u8; 6], patience: Duration, hall: &Path) -> Result<Lease> {
    let exchange = random()?;
    let order = Order::Lease { mac, exchange, seconds: patience.as_secs() };
    let mut child = start(&order, hall, std::os::fd::OwnedFd::from(socket).into())?;
    let mut text = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let limited = fetch::Timed::new(stdout, patience + Duration::from_secs(30));
        if let Err(error) = limited.take(TEXT_MAX).read_to_end(&mut text) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error).context("reading the lease");
        }
    }
    ended(child)?;
    serde_json::from_slice(&text).context("reading the lease")
}

/// Asks name servers for the name of an address, at most so long for each question.
pub fn name_of(address: IpAddr, dns: &[IpAddr], patience: Duration, hall: &Path) -> Result<Option<String>> {
    let order = Order::NameOf { address, dns: dns.to_vec(), seconds: patience.as_secs() };
    let mut child = start(&order, hall, Stdio::null())?;
    let mut name = String::new();
    if let Some(stdout) = child.stdout.take() {
        let limited = fetch::Timed::new(stdout, patience * 4 + Duration::from_secs(10));
        if let Err(error) = limited.take(TEXT_MAX).read_to_string(&mut name) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error).context("reading the name");
        }
    }
    ended(child)?;
    Ok(Some(name).filter(|name| is_host_name(name)))
}

/// Returns a random number. Waits until the kernel has some, which it gathers for getrandom(2) alone: a processor without
/// RDRAND has none at this time, and who polls /dev/random, as libraries do, would wait for ever.
fn random() -> Result<u32> {
    let mut bytes = [0; 4];
    getrandom(&mut bytes, GetRandomFlags::empty()).context("asking the kernel for a random number")?;
    Ok(u32::from_le_bytes(bytes))
}

/// Does what was ordered. The arguments are the order and the folder.
pub fn run(order: &str, hall: &str) -> Result<()> {
    let order: Order = match order {
        ON_INPUT => serde_json::from_reader(stdin()),
        order => serde_json::from_str(order),
    }
    .context("reading the order")?;
    let hall = PathBuf::from(hall);
    match order {
        Order::Lease { mac, exchange, seconds } => {
            put_up(&hall, &[], Reach::Given)?;
            let socket = UdpSocket::from(stdin().as_fd().try_clone_to_owned().context("taking the socket")?);
            let server = (Ipv4Addr::BROADCAST, SERVER_PORT).into();
            let lease = Client { socket: &socket, server, mac, exchange }.lease(Duration::from_secs(seconds))?;
            serde_json::to_writer(pipe()?, &lease).context("reporting the lease")
        }
        Order::Fetch { what, dns, search, seconds } => {
            reach_server(&hall, what.host(), (&dns, search.as_deref()), Reach::Servers)?;
            fetch::send(&what, Duration::from_secs(seconds), pipe()?, pipe()?)
        }
        Order::Keep { url, dns, search, seconds, room } => {
            let what = Wanted::File(url);
            reach_server(&hall, what.host(), (&dns, search.as_deref()), Reach::Into(room))?;
            let file = File::from(stdin().as_fd().try_clone_to_owned().context("taking the file")?);
            fetch::send(&what, Duration::from_secs(seconds), pipe()?, file)
        }
        Order::NameOf { address, dns, seconds } => {
            reach(&hall, (&dns, None), &[], Reach::Servers)?;
            let name = reverse::name_of(address, Duration::from_secs(seconds))?.unwrap_or_default();
            pipe()?.write_all(name.as_bytes()).context("reporting the name")
        }
    }
}

/// Puts up the walls of a process that reaches this host, by TLS if it is asked to.
fn reach_server(hall: &Path, host: &str, names: (&[IpAddr], Option<&str>), reach_of: Reach) -> Result<()> {
    if names.0.is_empty() && is_name(host) {
        let found = format!("{host} is a name, and this network has no name servers");
        return Err(failed(found, "name the server by its address, or name servers in flipslot.net="));
    }
    let authorities = fs::read(AUTHORITIES).unwrap_or_else(|_| trust::bundle().into_bytes());
    environment::set(trust::VARIABLE, &format!("/{OWN_AUTHORITIES}"));
    reach(hall, names, &[(OWN_AUTHORITIES, &authorities)], reach_of)
}

/// Puts up the walls of a process that reaches servers, with files for the libraries that find them.
fn reach(hall: &Path, (dns, search): (&[IpAddr], Option<&str>), more: &[(&str, &[u8])], reach_of: Reach) -> Result<()> {
    let search = search.map(|domain| format!("search {domain}\n"));
    let servers = dns.iter().map(|server| format!("nameserver {server}\n"));
    let servers: String = search.into_iter().chain(servers).collect();
    let hosts: &[u8] = b"127.0.0.1 localhost\n::1 localhost\n";
    put_up(hall, &[&[("etc/resolv.conf", servers.as_bytes()), ("etc/hosts", hosts)], more].concat(), reach_of)
}

/// Returns standard output without the buffer that Rust puts before it. Comes after the walls, which close everything.
fn pipe() -> Result<File> {
    stdout().as_fd().try_clone_to_owned().map(File::from).context("taking the pipe")
}
