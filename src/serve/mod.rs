//! Serves a netboot folder to machines of one network: dnsmasq for addresses and TFTP, and a server of HTTP. Neither runs
//! as root once it has its port, and neither reaches a file outside of the folder.

pub mod dnsmasq;
pub mod guests;
pub mod http;
pub mod interface;
mod jail;

use crate::error::{Result, failed};
use crate::network::walls::become_nobody;
use crate::serve::dnsmasq::Dnsmasq;
use crate::serve::guests::Guests;
use anyhow::Context;
use rustix::process::{chdir, chroot};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Serves `folder` at the path `prefix` until a signal comes, or dnsmasq ends. Gives root up first.
pub fn serve(folder: &Path, prefix: &str, listener: TcpListener, dnsmasq: Dnsmasq) -> Result<()> {
    listener.set_nonblocking(true).context("preparing the server of HTTP")?;
    chroot(folder).and_then(|()| chdir("/")).with_context(|| format!("entering {}", folder.display()))?;
    become_nobody().context("giving root up")?;
    let guests = Arc::new(Guests::default());
    let runtime = runtime::Builder::new_current_thread().enable_all().build().context("starting the server of HTTP")?;
    runtime.block_on(async {
        let mut interrupted = signal(SignalKind::interrupt()).context("waiting for signals")?;
        let mut terminated = signal(SignalKind::terminate()).context("waiting for signals")?;
        let ended = dnsmasq.follow(Arc::clone(&guests));
        tokio::select! {
            never = http::serve(listener, prefix, guests) => never,
            said = ended => Err(failed(
                format!("dnsmasq has ended; it said: {}", said.unwrap_or_default()),
                "see that nothing else answers DHCP or TFTP on this machine: ss -lnup",
            )),
            _ = interrupted.recv() => Ok(()),
            _ = terminated.recv() => Ok(()),
        }
    })
}
