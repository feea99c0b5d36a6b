//! The addresses that the kernel has, for those that routers advertise: it takes them by itself.

use std::fs;
use std::net::Ipv4Addr;

/// Returns true if the card has an address of IPv6 that reaches further than its link, and is its own by now; and a
/// router leads out.
pub fn has_ipv6(card: &str) -> bool {
    // Kernel: net/ipv6/addrconf.c, if6_seq_show: address, index, prefix, scope, flags, name.
    let addresses = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let has_address = addresses.lines().any(|line| is_usable(line, card));
    // Kernel: net/ipv6/route.c, rt6_info_route: destination, prefix, source, prefix, next hop, …, flags, name.
    let routes = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    has_address && routes.lines().any(|line| is_way_out(line, card))
}

/// `IFA_F_TENTATIVE` and `IFA_F_DADFAILED` (linux/if_addr.h).
const NOT_ITS_OWN: u32 = 0x40 | 0x08;

/// Returns true if the kernel knows the hardware address of a machine on the card's link; or of any, where that one is
/// behind a router.
pub fn has_neighbour(card: &str, machine: Ipv4Addr) -> bool {
    // proc(5), /proc/net/arp: address, kind, flags, hardware address, mask, name; ATF_COM is 2 (linux/if_arp.h).
    let table = fs::read_to_string("/proc/net/arp").unwrap_or_default();
    let known = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(2) == Some(&"0x2") && fields.last() == Some(&card)).then(|| fields[0].to_owned())
    };
    let on_link = |line: &str| line.split_whitespace().next() == Some(&machine.to_string());
    match table.lines().find(|line| on_link(line)) {
        Some(line) => known(line).is_some(),
        None => table.lines().any(|line| known(line).is_some()),
    }
}

fn is_usable(line: &str, card: &str) -> bool {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, _, _, scope, flags, name] = fields[..] else { return false };
    let flags = u32::from_str_radix(flags, 16).unwrap_or(u32::MAX);
    name == card && scope == "00" && flags & NOT_ITS_OWN == 0
}

fn is_way_out(line: &str, card: &str) -> bool {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let is_default = fields.first().is_some_and(|to| to.bytes().all(|digit| digit == b'0'));
    let has_router = fields.get(4).is_some_and(|via| via.bytes().any(|digit| digit != b'0'));
    is_default && fields.get(1) == Some(&"00") && has_router && fields.last() == Some(&card)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_counts_when_it_is_global_and_checked() {
        let line = |scope: &str, flags: &str| format!("fd000000000000005054fffe001234 02 40 {scope} {flags}     eth0");
        assert!(is_usable(&line("00", "80"), "eth0") && !is_usable(&line("00", "80"), "eth1"));
        assert!(!is_usable(&line("20", "80"), "eth0"), "of the link alone");
        assert!(!is_usable(&line("00", "c0"), "eth0"), "another machine may have it");
        let zeros = "0".repeat(32);
        let route = |via: &str| format!("{zeros} 00 {zeros} 00 {via} 00000400 00000001 00000000 00450003     eth0");
        assert!(is_way_out(&route("fe80000000000000000000000000000a"), "eth0"));
        assert!(!is_way_out(&route(&zeros), "eth0"), "the kernel's own, which leads nowhere");
    }
}
