//! Checks that this system can resolve a registry's name. Where a system names no server, the built-in
//! resolver would ask servers of its own choice, which have no business knowing the registry.

use crate::error::{Result, refused};
use std::fs;
use std::net::IpAddr;

/// Refuses a host (name, or name:port) that this system has no way to resolve: no name server in
/// resolv.conf(5), and no line in hosts(5).
pub fn refuse_if_unresolvable(host: &str) -> Result<()> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    if can_resolve(name_of(host), &read("/etc/resolv.conf"), &read("/etc/hosts")) {
        return Ok(());
    }
    let found = format!("cannot resolve {host}: /etc/resolv.conf names no server, and /etc/hosts does not list it");
    Err(refused(found, "set up this system's name server, or name the registry by its address"))
}

fn can_resolve(name: &str, resolv_conf: &str, hosts: &str) -> bool {
    let has_server = resolv_conf.lines().any(|line| line.split_whitespace().next() == Some("nameserver"));
    let mut known = hosts.lines().flat_map(|line| line.split('#').next().unwrap_or("").split_whitespace().skip(1));
    name == "localhost" || name.parse::<IpAddr>().is_ok() || has_server || known.any(|host| host == name)
}

/// Returns true if `host[:port]` is this machine, so that no one on a network can listen in.
pub fn is_loopback(host: &str) -> bool {
    name_of(host).trim_end_matches('.') == "localhost" || address_of(host).is_some_and(|address| address.is_loopback())
}

/// Returns the address that `host[:port]` is, as IPv4 if it only wraps one (RFC 4291, section 2.5.5.2).
pub fn address_of(host: &str) -> Option<IpAddr> {
    name_of(host).parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Returns the name in `host:port`, without the brackets of an IPv6 address.
pub fn name_of(host: &str) -> &str {
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(name, _)| name);
    name.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for local in [
            "127.0.0.1:5000",
            "localhost",
            "localhost:5000",
            "[::1]:5000",
            "127.9.9.9",
            "[::ffff:127.0.0.1]",
            "localhost.",
        ] {
            assert!(is_loopback(local), "{local}");
        }
        for other in ["127.0.0.1.example.com", "localhost.example.com:5000", "10.0.0.1:5000", "docker.io", "0.0.0.0"] {
            assert!(!is_loopback(other), "{other}");
        }
    }

    #[test]
    fn a_name_needs_someone_to_ask() {
        assert!(!can_resolve(
            "registry.example",
            "# none\noptions edns0\n",
            "127.0.0.1 localhost # registry.example\n"
        ));
        assert!(can_resolve("registry.example", "nameserver 192.0.2.1\n", ""));
        assert!(can_resolve("registry.example", "", "192.0.2.7 registry.example reg\n"));
        for host in ["localhost:5000", "127.0.0.1:5000", "[::1]:5000", "[::1]"] {
            assert!(can_resolve(name_of(host), "", ""), "{host}");
        }
    }
}
