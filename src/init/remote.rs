//! An image on a server: a card with an address is found, and the image fetched into memory, once.

use crate::error::Result;
use crate::init::coming::{Keeping, Reach, TO_ANSWER};
use crate::init::devices::Events;
use crate::init::kernel_log::{Level, log};
use crate::init::live_facts::HostFrom;
use crate::init::load::Loader;
use crate::init::memory::{refuse_too_large, room};
use crate::init::online::{Cards, Online};
use crate::init::overlay::FOLDER;
use crate::init::source::{Fetched, RemoteFile};
use crate::init::words::Words;
use crate::network::lease::Lease;
use crate::network::settings::Settings;
use crate::network::{child, fetch};
use crate::sys::mapped::Mapped;
use crate::words::units::Bytes;
use anyhow::Context;
use rustix::mount::{MountFlags, mount, mount_remount};
use std::ffi::CString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time for an answer where another card may lead to the server.
const TO_ANSWER_FIRST: Duration = Duration::from_secs(15);
/// Name of a file that was fetched.
const IMAGE: &str = "image";
/// Time for a name server to answer.
const TO_NAME: Duration = Duration::from_secs(2);

/// Sets up one network card after another, until a server answers what `ask` asks for; what it answers is kept by `keep`.
/// Then the cards are as they were found.
pub fn over_network<A, T>(
    (words, events): (&Words, &Events),
    loader: &mut Loader,
    ask: impl Fn(&Reach) -> Result<A>,
    keep: impl Fn(A) -> Result<T>,
) -> Result<Fetched<T>> {
    let settings = Settings::read(words.net.as_deref(), words.booted_by.as_deref())?;
    let hall = PathBuf::from(format!("{FOLDER}/hall"));
    fs::create_dir_all(&hall).context("making a folder")?;
    let mut cards = Cards::find(&settings, &hall, events, loader)?;
    let mut problem = None;
    let fetched = loop {
        let online = cards.next(problem.take())?;
        let Online { card, lease } = &online;
        let address = if lease.prefix == 0 { "that a router advertises".to_owned() } else { lease.address.to_string() };
        log(Level::Info, &format!("{} has the address {address}", card.name));
        let patience = if cards.has_another() { TO_ANSWER_FIRST } else { TO_ANSWER };
        let kept = match ask(&Reach { lease: lease.clone(), hall: hall.clone(), patience }) {
            Ok(answer) => Some(keep(answer)),
            Err(error) => {
                log(Level::Warning, &format!("{}: {error:#}", card.name));
                problem = Some(error);
                None
            }
        };
        let host = kept.as_ref().and_then(|_| name_of(words, lease, &hall));
        let left = cards.leave(&online);
        left.unwrap_or_else(|error| log(Level::Warning, &format!("{}: {error:#}", card.name)));
        // Another card may lead to the server; once it has answered, there is no better one.
        if let Some(kept) = kept {
            break kept.map(|what| Fetched { what, host });
        }
    };
    cards.switch_off();
    fetched
}

/// Returns the name that the network has for this machine: that of its lease, or else that of its name servers.
fn name_of(words: &Words, lease: &Lease, hall: &Path) -> Option<(String, HostFrom)> {
    if let Some(name) = &lease.host {
        return Some((name.clone(), HostFrom::Lease));
    }
    // Nobody asks where the name is known, or the kernel has set the address.
    if words.host.is_some() || lease.dns.is_empty() || lease.prefix == 0 {
        return None;
    }
    let named = child::name_of(lease.address, &lease.dns, TO_NAME, hall);
    let named = named.inspect_err(|error| log(Level::Info, &format!("this machine has no name in DNS: {error:#}")));
    named.ok().flatten().map(|name| (name, HostFrom::NameServer))
}

/// Fetches files into memory, and fails unless each has its digest. Returns their paths, in order.
pub fn fetch(files: &[RemoteFile], known: (&Words, &Events), loader: &mut Loader) -> Result<Fetched<Vec<String>>> {
    let (first, rest) = files.split_first().context("there is nothing to fetch")?;
    let ask = |reach: &Reach| Ok((begin(first, 0, reach)?, reach.clone(), Instant::now()));
    let keep = |(keeping, reach, begin): (Keeping, Reach, Instant)| {
        let path = keep(keeping, first, 0, begin)?;
        let more = fetch_more(rest, &reach.patient())?;
        Ok([path].into_iter().chain(more).collect())
    };
    over_network(known, loader, ask, keep)
}

/// Fetches more files from a network in which a server has answered. Returns their paths.
pub fn fetch_more(files: &[RemoteFile], reach: &Reach) -> Result<Vec<String>> {
    let one = |(at, file): (usize, &RemoteFile)| {
        let started = Instant::now();
        keep(begin(file, at + 1, reach)?, file, at + 1, started)
    };
    files.iter().enumerate().map(one).collect()
}

/// Asks for a file, the `index`th of this boot, which comes into memory.
fn begin(file: &RemoteFile, index: usize, reach: &Reach) -> Result<Keeping> {
    let (RemoteFile { url, .. }, place, room) = (file, place_of(index), room()?);
    let path = format!("{place}/{IMAGE}");
    if !Path::new(&path).exists() {
        fs::create_dir_all(&place).context("making a folder")?;
        let options = CString::new(format!("mode=0700,size={room}"))?;
        mount(c"tmpfs", &place, c"tmpfs", MountFlags::NODEV | MountFlags::NOSUID, options.as_c_str())
            .context("mounting memory for the image")?;
    }
    // Another card may have begun with it.
    let file = File::create(&path).context("making a file in memory")?;
    Keeping::begin(url, file, room, reach).with_context(|| format!("fetching {url}"))
}

/// Waits until a file has come, in memory of its size, and compares it; returns its path.
fn keep(keeping: Keeping, file: &RemoteFile, index: usize, begin: Instant) -> Result<String> {
    let (RemoteFile { url, digest }, place, length) = (file, place_of(index), keeping.length());
    refuse_too_large(length)?;
    let options = CString::new(format!("size={}", length.next_multiple_of(4096).saturating_add(4096)))?;
    mount_remount(&place, MountFlags::NODEV | MountFlags::NOSUID, options.as_c_str())
        .context("limiting memory for the image")?;
    let fetching = || format!("fetching {url}");
    keeping.finish().with_context(fetching)?;
    let path = format!("{place}/{IMAGE}");
    // The process that has written it is gone.
    let came = Mapped::of(&File::open(&path).with_context(fetching)?).with_context(fetching)?;
    fetch::compare(&came, length, digest).with_context(fetching)?;
    log(Level::Info, &format!("{} from {url} in {:.1} s", Bytes(length), begin.elapsed().as_secs_f64()));
    Ok(path)
}

/// Returns the place of the memory for the `index`th file of this boot.
fn place_of(index: usize) -> String {
    format!("{FOLDER}/memory/{index}")
}
