//! The name that the network's name servers have for an address (RFC 1035, 3.5). Runs behind walls: what comes may be
//! anyone's.

use crate::error::Result;
use crate::words::host_name::is_host_name;
use anyhow::Context;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use std::net::IpAddr;
use std::time::Duration;
use tokio::runtime;

/// Times that each name server is asked.
const ATTEMPTS: usize = 2;

/// Asks for the name of an address, at most so long for each question; `None` if there is none. Of `rack1.lab.example.`, the
/// name is `rack1`.
pub fn name_of(address: IpAddr, patience: Duration) -> Result<Option<String>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().context("starting a question of DNS")?;
    runtime.block_on(async {
        let mut builder = TokioResolver::builder_tokio().context("reading the name servers")?;
        builder.options_mut().timeout = patience;
        builder.options_mut().attempts = ATTEMPTS;
        let resolver = builder.build().context("starting a question of DNS")?;
        let found =
            resolver.reverse_lookup(address).await.with_context(|| format!("asking for the name of {address}"))?;
        let names = found.answers().iter().filter_map(|record| match &record.data {
            RData::PTR(name) => Some(name.0.to_utf8()),
            _ => None,
        });
        Ok(names.filter_map(|name| first_label(&name)).next())
    })
}

/// Returns the first label of a name, if it can be that of a host.
fn first_label(name: &str) -> Option<String> {
    let label = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    is_host_name(&label).then_some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_the_first_label_of_its_name() {
        assert_eq!(first_label("Rack1.lab.example.").as_deref(), Some("rack1"));
        for odd in ["", ".", "a b.lab.", "\u{7}.lab."] {
            assert_eq!(first_label(odd), None, "{odd:?}");
        }
    }
}
