//! Gives up privileges for good.

use crate::error::Result;
use anyhow::Context;
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

/// Reduces the bounding, permitted and effective capabilities to those of `wanted` that this process has, clears the
/// inheritable and ambient sets, and sets no_new_privs.
pub fn keep_only(wanted: CapabilitySet) -> Result<()> {
    let had = capabilities(None).context("reading capabilities")?.permitted;
    let kept = wanted & had;
    for capability in CapabilitySet::all().difference(kept).iter() {
        match remove_capability_from_bounding_set(capability) {
            Ok(()) | Err(Errno::INVAL) => {} // this kernel does not have it
            // In a container without CAP_SETPCAP; with no_new_privs, nothing is gained from that set.
            Err(Errno::PERM) if !had.contains(CapabilitySet::SETPCAP) => {}
            Err(errno) => return Err(errno).context("giving up capabilities"),
        }
    }
    clear_ambient_capability_set().context("giving up ambient capabilities")?;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).context("giving up capabilities")?;
    set_no_new_privs(true).context("giving up privileges")
}
