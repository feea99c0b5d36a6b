//! The flags of `serve`.

use clap::Args;
use std::path::PathBuf;

/// The text at the end of `serve --help`.
pub const SERVE_HELP: &str = "\
For a lab or a laptop: runs dnsmasq, which hands out addresses and boot loaders,
and a server of HTTP, in the foreground, with a line for what each machine gets.
Ctrl-C ends both. Neither runs as root once it has its port.
Needs root and the package dnsmasq-base.

Exit codes: 1 failed, 2 usage error, 3 refused.

Example:
  flipslot netboot /srv/boot --url http://10.0.0.1/boot …
  flipslot serve /srv/boot --interface br0";

/// The flags of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Folder that `flipslot netboot` has written
    pub folder: PathBuf,

    /// Network card that the machines are behind
    #[arg(long, value_name = "IFACE")]
    pub interface: String,

    /// Leave addresses to the DHCP server that is there, and add what machines
    /// boot (proxy DHCP)
    #[arg(long)]
    pub proxy_dhcp: bool,
}
