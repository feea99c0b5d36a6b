//! dnsmasq(8): addresses, and boot loaders by TFTP.

use crate::error::Result;
use crate::forms::netboot::loaders::dnsmasq::PROXY;
use crate::mount::scratch::Scratch;
use crate::serve::clients::Clients;
use crate::serve::jail;
use crate::tool::Tool;
use anyhow::Context;
use ipnet::Ipv4Net;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::thread;
use tokio::sync::oneshot;

/// Starts it in a process namespace that ends with its first process, this shell: when dnsmasq ends, or when this process
/// does, however it ends, and the pipe is closed.
const STARTS: &str = "trap exit TERM; { \"$@\"; kill -s TERM $$; } & read -r _";

/// Addresses that machines get.
#[derive(Debug, Clone, Copy)]
pub enum Addresses {
    /// From the first to the last of these.
    Range(Ipv4Addr, Ipv4Addr),
    /// Those of another server in this network; this one adds what they boot (proxy DHCP).
    OfAnother(Ipv4Net),
}

/// Name of the configuration, in the folder and in the root of dnsmasq.
const CONFIGURATION: &str = "dnsmasq.conf";
/// Lines that are taken from the folder's configuration (forms/netboot/loaders/dnsmasq.rs): others could start programs as
/// root, or keep dnsmasq from becoming another user.
const TAKEN: [&str; 4] = ["enable-tftp", "tftp-root=", "dhcp-match=", "dhcp-boot="];

/// Returns the lines of a configuration that say what machines boot; with those for a network of another server, if it is
/// one.
fn taken(text: &str, is_proxy: bool) -> String {
    let is_taken = |line: &&str| TAKEN.iter().any(|key| line.starts_with(key)) || is_proxy && line.starts_with(PROXY);
    text.lines().filter(is_taken).map(|line| format!("{}\n", line.trim_start_matches('#'))).collect()
}

/// dnsmasq, which runs.
pub struct Dnsmasq {
    process: Child,
    folder: String,
}

impl Dnsmasq {
    /// Starts it on a network card, for a folder with an absolute path.
    pub fn start(folder: &Path, card: &str, addresses: Addresses, scratch: &Scratch) -> Result<Dnsmasq> {
        let root = scratch.directory("dnsmasq")?;
        fs::set_permissions(&root, Permissions::from_mode(0o755)).context("making a root for dnsmasq")?;
        jail::build(&root, folder)?;
        let path = folder.join(CONFIGURATION);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        fs::write(root.join(CONFIGURATION), taken(&text, matches!(addresses, Addresses::OfAnother(_))))
            .context("writing the configuration of dnsmasq")?;
        let range = match addresses {
            Addresses::Range(first, last) => format!("--dhcp-range={first},{last},1h"),
            Addresses::OfAnother(network) => format!("--dhcp-range={},proxy", network.network()),
        };
        let tool = Tool::new("unshare")
            .args(["--pid", "--fork", "--", "chroot"])
            .arg(&root)
            .args(["/bin/sh", "-c", STARTS, "sh", "dnsmasq", "--keep-in-foreground", "--log-facility=-", "--port=0"])
            .args(["--user=nobody", "--group=nogroup", "--bind-interfaces", "--pid-file", "--dhcp-leasefile=/leases"])
            .arg(format!("--conf-file=/{CONFIGURATION}"))
            .arg(format!("--interface={card}"))
            .arg(range)
            .hint("apt-get install dnsmasq-base util-linux");
        Ok(Dnsmasq { process: tool.start()?, folder: format!("{}/", folder.display()) })
    }

    /// Prints what it does for each machine, by a thread. What is returned is its last line, once it has ended.
    pub fn follow(mut self, clients: Arc<Clients>) -> oneshot::Receiver<String> {
        let (sender, ended) = oneshot::channel();
        thread::spawn(move || {
            let mut last = String::new();
            if let Some(stderr) = self.process.stderr.take() {
                let (mut stderr, mut bytes) = (BufReader::new(stderr), Vec::new());
                while let Ok(1..) = stderr.read_until(b'\n', &mut bytes) {
                    last = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                    self.tell(&last, &clients);
                    bytes.clear();
                }
            }
            let _ = self.process.wait();
            let _ = sender.send(last);
        });
        ended
    }

    /// Prints a line of its log, if that is about a machine, or a problem.
    fn tell(&self, text: &str, clients: &Clients) {
        match read(text) {
            Some(Event::Address { address, mac }) => {
                clients.note(address, mac);
                clients.report(address, &format!("{mac} has this address"));
            }
            Some(Event::File { address, what, path }) => {
                let within = path.strip_prefix(&self.folder).unwrap_or(path);
                if let Some(mac) = within.strip_prefix("loaders/pxelinux.cfg/01-") {
                    clients.note(address, mac);
                }
                clients.report(address, &format!("{within} {what}"));
            }
            None if text.contains("failed") || text.contains("error") || text.contains("no address") => {
                clients.line(crate::words::printable::plain(text, 300));
            }
            None => {}
        }
    }
}

/// An event of its log.
#[derive(Debug, PartialEq, Eq)]
enum Event<'t> {
    /// A machine got an address.
    Address { address: IpAddr, mac: &'t str },
    /// A machine asked for a file by TFTP.
    File { address: IpAddr, what: &'static str, path: &'t str },
}

/// Reads a line of its log (dnsmasq: rfc2131.c, tftp.c).
fn read(text: &str) -> Option<Event<'_>> {
    let (program, rest) = text.split_once(": ")?;
    if program.starts_with("dnsmasq-dhcp") {
        let mut words = rest.strip_prefix("DHCPACK(")?.split(' ').skip(1);
        return Some(Event::Address { address: words.next()?.parse().ok()?, mac: words.next()? });
    }
    if !program.starts_with("dnsmasq-tftp") {
        return None;
    }
    let file = |what, text: &'static str, between: &str| {
        let rest: &str = rest.strip_prefix(text)?;
        let (path, address) = rest.rsplit_once(between)?;
        Some(Event::File { address: address.parse().ok()?, what, path })
    };
    file("by TFTP", "sent ", " to ")
        .or_else(|| file("by TFTP, broken off", "failed sending ", " to "))
        .or_else(|| file("is not there (TFTP)", "file ", " not found for "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_says_what_machines_boot_and_nothing_else() {
        let text = "# x\nenable-tftp\ntftp-root=/srv\nuser=root\n dhcp-script=/x\ndhcp-script=/x\nconf-file=/x\ndhcp-boot=tag:bios,x\n";
        let proxy = format!("{text}#pxe-service=tag:bios,x86PC,flipslot,x\n");
        assert!(taken(&proxy, true).ends_with("\npxe-service=tag:bios,x86PC,flipslot,x\n"));
        assert_eq!(taken(&proxy, false), taken(text, false));
        assert_eq!(taken(text, false), "enable-tftp\ntftp-root=/srv\ndhcp-boot=tag:bios,x\n");
    }

    #[test]
    fn what_a_machine_gets_is_read_from_the_log() {
        let address = "10.77.0.150".parse().unwrap();
        assert_eq!(
            read("dnsmasq-dhcp: DHCPACK(br0) 10.77.0.150 52:54:00:12:34:56 rack1"),
            Some(Event::Address { address, mac: "52:54:00:12:34:56" })
        );
        let file = |text, what, path| assert_eq!(read(text), Some(Event::File { address, what, path }));
        file("dnsmasq-tftp: sent /srv/a to b to 10.77.0.150", "by TFTP", "/srv/a to b");
        file("dnsmasq-tftp[7]: file /srv/x not found for 10.77.0.150", "is not there (TFTP)", "/srv/x");
        for other in
            ["dnsmasq-dhcp: DHCPDISCOVER(br0) 52:54:00:12:34:56", "dnsmasq: started", "", "dnsmasq-tftp: sent x to y"]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
