//! The machines that ask, by the addresses that they have now, and a line for each thing that they get.

use crate::words::printable::plain;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Write, stdout};
use std::net::IpAddr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Longest text of a stranger that is printed, in characters.
const SHOWN: usize = 300;
/// The most machines that are remembered: a network of /20.
const REMEMBERED: usize = 4096;

/// Lines that wait to be printed: who does not read them must not stop the servers, and misses the next ones.
const WAITING: usize = 1000;

/// Names of machines by their addresses, and the way of lines to standard output.
#[derive(Debug)]
pub struct Clients {
    names: Mutex<BTreeMap<IpAddr, String>>,
    lines: SyncSender<String>,
}

impl Clients {
    /// Starts a thread that prints, with the rights that this one has.
    pub fn printing() -> Clients {
        let (lines, waiting) = sync_channel::<String>(WAITING);
        thread::spawn(move || waiting.iter().for_each(|text| line(&text)));
        Clients { names: Mutex::default(), lines }
    }

    /// Prints a line, unless too many wait.
    pub fn line(&self, text: String) {
        let _ = self.lines.try_send(text); // a lost line is not an error
    }

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
        let mut known = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < REMEMBERED || known.contains_key(&address) {
            known.insert(address, name);
        }
    }

    /// Prints a line about a machine.
    pub fn report(&self, address: IpAddr, what: &str) {
        let known = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let name = known.get(&address).map(|name| format!(" {name}")).unwrap_or_default();
        self.line(format!("{address}{name}: {}", plain(what, SHOWN)));
    }
}

/// Prints a line; a closed pipe is not an error.
pub fn line(text: &str) {
    let _ = writeln!(stdout(), "{text}");
}
