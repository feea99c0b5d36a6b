//! `flipslot serve`: a netboot folder, for machines behind one network card.

use crate::cli::ServeArgs;
use crate::error::{Result, failed, refused};
use crate::forms::netboot::loaders::address_of;
use crate::mount::scratch::Scratch;
use crate::serve::clients::line;
use crate::serve::dnsmasq::{Addresses, Dnsmasq};
use crate::serve::interface::{Interface, range};
use crate::serve::serve;
use crate::tool::refuse_missing;
use anyhow::Context;
use rustix::fs::Mode;
use rustix::process::umask;
use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;

/// Serves the folder; a signal ends it.
pub fn run(args: &ServeArgs) -> Result<()> {
    umask(Mode::WGRP | Mode::WOTH); // dnsmasq runs as another user
    refuse_missing(&[("dnsmasq", "dnsmasq-base"), ("ip", "iproute2"), ("unshare", "util-linux")])?;
    let url = address_of(&args.folder)?;
    let (host, port, path) = parts(&url)?;
    let interface = Interface::named(&args.interface)?;
    let network = interface.network_of(host, &url)?;
    let addresses = if args.proxy_dhcp {
        Addresses::OfAnother(network)
    } else {
        let (first, last) = range(network)?;
        if let Some(server) = interface.other_server()? {
            let found =
                format!("{server} hands out addresses on {} already: two DHCP servers would conflict", args.interface);
            return Err(refused(found, "leave addresses to that one: --proxy-dhcp"));
        }
        Addresses::Range(first, last)
    };
    let folder = fs::canonicalize(&args.folder).with_context(|| format!("finding {}", args.folder.display()))?;
    let scratch = Scratch::enter()?;
    let listener = TcpListener::bind((host, port)).map_err(|error| taken(&error, host, port))?;
    let dnsmasq = Dnsmasq::start(&folder, &args.interface, addresses, &scratch)?;
    let whom = match addresses {
        Addresses::Range(first, last) => format!("{first} to {last} are handed out"),
        Addresses::OfAnother(_) => "another server hands out addresses".to_owned(),
    };
    line(&format!("{} is at {url} for machines on {}; {whom}. Ctrl-C ends it.", folder.display(), args.interface));
    serve(&folder, path, listener, dnsmasq)
}

/// Returns host, port and path of a folder's address. Refuses one that this server does not speak.
fn parts(url: &str) -> Result<(&str, u16, &str)> {
    let Some(rest) = url.strip_prefix("http://") else {
        let found = format!("machines look for the folder at {url}, and serve supports only http://");
        return Err(refused(found, "write the folder again: flipslot netboot … --url http://ADDRESS/boot"));
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or("80")),
        None => authority.split_once(':').unwrap_or((authority, "80")),
    };
    match port.parse() {
        Ok(port) => Ok((host, port, path)),
        Err(_) => Err(failed(
            format!("machines look for the folder at {url}, and '{port}' is not a port"),
            "write the folder again: flipslot netboot … --url http://ADDRESS:PORT/boot",
        )),
    }
}

/// Returns the refusal of a port that cannot be had.
fn taken(error: &std::io::Error, host: &str, port: u16) -> anyhow::Error {
    let next = match error.kind() {
        ErrorKind::AddrInUse => format!("stop what listens there: ss -ltnp 'sport = :{port}'"),
        ErrorKind::PermissionDenied => "run as root (sudo)".to_owned(),
        _ => "see that this machine has the address: ip address".to_owned(),
    };
    refused(format!("cannot listen on {host}:{port}: {error}"), next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_and_a_path() {
        assert_eq!(parts("http://10.0.0.1/boot").unwrap(), ("10.0.0.1", 80, "/boot"));
        assert_eq!(parts("http://10.0.0.1:8080").unwrap(), ("10.0.0.1", 8080, ""));
        assert!(parts("https://srv/boot").unwrap_err().to_string().contains("supports only http://"));
        assert_eq!(parts("http://[fd00::1]:81/boot").unwrap(), ("fd00::1", 81, "/boot"));
    }
}
