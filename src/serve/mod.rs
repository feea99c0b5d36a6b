//! Serves a netboot folder to machines of one network: dnsmasq for addresses and TFTP, and a server of HTTP. Neither runs
//! as root once it has its port. HTTP reaches the folder alone, TFTP that and the programs and libraries of this machine.

pub mod clients;
pub mod dnsmasq;
pub mod http;
pub mod interface;
mod jail;

use crate::error::{Result, failed, refused};
use crate::network::walls::become_nobody;
use crate::serve::clients::Clients;
use crate::serve::dnsmasq::Dnsmasq;
use anyhow::Context;
use rustix::process::{chdir, chroot};
use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime;

/// File that every machine with iPXE starts with.
const FIRST: &str = "boot.ipxe";

/// Serves `folder` at the path `prefix`, as nobody. Returns only if that fails, or dnsmasq ends; a signal ends both.
pub fn serve(folder: &Path, prefix: &str, listener: TcpListener, dnsmasq: Dnsmasq) -> Result<()> {
    listener.set_nonblocking(true).context("preparing the server of HTTP")?;
    chroot(folder).and_then(|()| chdir("/")).with_context(|| format!("entering {}", folder.display()))?;
    become_nobody().context("giving root up")?;
    File::open(Path::new("/").join(FIRST)).map_err(|error| {
        let found = format!("nobody cannot read {}/{FIRST}: {error}", folder.display());
        refused(found, format!("let all users read the folder: chmod -R a+rX {}", folder.display()))
    })?;
    let clients = Arc::new(Clients::printing());
    let runtime = runtime::Builder::new_current_thread().enable_all().build().context("starting the server of HTTP")?;
    runtime.block_on(async {
        let ended = dnsmasq.follow(Arc::clone(&clients));
        tokio::select! {
            never = http::serve(listener, prefix, clients) => never,
            said = ended => Err(failed(
                format!("dnsmasq has ended; it said: {}", said.unwrap_or_default()),
                "see that nothing else answers DHCP or TFTP on this machine: ss -lnup",
            )),
        }
    })
}
