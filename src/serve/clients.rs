//! The machines that ask, by the addresses that they have now, and a line for each thing that they get.

use crate::words::printable::plain;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Write, stdout};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Longest text of a stranger that is printed, in characters.
const SHOWN: usize = 300;
/// The most machines that are remembered: a network of /20.
const REMEMBERED: usize = 4096;

/// Names of machines by their addresses.
#[derive(Debug, Default)]
pub struct Clients(Mutex<BTreeMap<IpAddr, String>>);

impl Clients {
    /// Notes which machine has this address. Its host is what `by-mac` says; this process sees the folder as `/`.
    pub fn note(&self, address: IpAddr, mac: &str) {
        let mac = mac.replace(':', "-").to_ascii_lowercase();
        let is_mac = mac.len() == 17 && mac.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if !is_mac {
            return;
        }
        let host = fs::read_link(format!("/by-mac/{mac}")).ok();
        let host = host.and_then(|target| Some(target.file_name()?.to_string_lossy().into_owned()));
        let name = host.unwrap_or_else(|| format!("{} (no host of the folder)", mac.replace('-', ":")));
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < REMEMBERED || known.contains_key(&address) {
            known.insert(address, name);
        }
    }

    /// Prints a line about a machine.
    pub fn report(&self, address: IpAddr, what: &str) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = known.get(&address).map(|name| format!(" {name}")).unwrap_or_default();
        line(&format!("{address}{name}: {}", plain(what, SHOWN)));
    }
}

/// Prints a line; a closed pipe is not an error.
pub fn line(text: &str) {
    let _ = writeln!(stdout(), "{text}");
}
