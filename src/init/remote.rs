//! An image on a server: a card with an address is found, and the image fetched into memory, once.

use crate::error::Result;
use crate::init::coming::{Coming, Reach, TO_ANSWER};
use crate::init::devices::Events;
use crate::init::kernel_log::{Level, log};
use crate::init::load::Loader;
use crate::init::memory::refuse_too_large;
use crate::init::online::{Cards, Online};
use crate::init::overlay::FOLDER;
use crate::init::source::Fetched;
use crate::init::words::Words;
use crate::network::fetch;
use crate::network::settings::Settings;
use crate::network::wanted::Wanted;
use crate::words::units::Bytes;
use anyhow::Context;
use rustix::mount::{MountFlags, mount};
use std::ffi::CString;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Time for an answer where another card may lead to the server.
const TO_ANSWER_FIRST: Duration = Duration::from_secs(15);
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
        let left = cards.leave(&online);
        left.unwrap_or_else(|error| log(Level::Warning, &format!("{}: {error:#}", card.name)));
        // Another card may lead to the server; once it has answered, there is no better one.
        if let Some(kept) = kept {
            break kept.map(|what| Fetched { what, host: lease.host.clone() });
        }
    };
    cards.switch_off();
    fetched
}

/// Fetches the file at `url` into memory, and fails unless it has this SHA-256 digest. Returns its path.
pub fn fetch(url: &str, digest: &str, known: (&Words, &Events), loader: &mut Loader) -> Result<Fetched<String>> {
    let begin = Instant::now();
    let ask =
        |reach: &Reach| Coming::begin(&Wanted::File(url.to_owned()), reach).with_context(|| format!("fetching {url}"));
    let keep = |coming: Coming| {
        let length = coming.length();
        let path = keep(coming, digest)?;
        log(Level::Info, &format!("{} from {url} in {:.1} s", Bytes(length), begin.elapsed().as_secs_f64()));
        Ok(path)
    };
    over_network(known, loader, ask, keep)
}

/// Writes what comes into memory of its size; returns the path of the file.
fn keep(coming: Coming, digest: &str) -> Result<String> {
    let length = coming.length();
    refuse_too_large(length)?;
    let place = format!("{FOLDER}/memory");
    fs::create_dir_all(&place).context("making a folder")?;
    let options = CString::new(format!("mode=0700,size={}", length.next_multiple_of(4096).saturating_add(4096)))?;
    mount(c"tmpfs", &place, c"tmpfs", MountFlags::NODEV | MountFlags::NOSUID, options.as_c_str())
        .context("mounting memory for the image")?;
    let path = format!("{place}/image");
    let mut file = File::create_new(&path).context("making a file in memory")?;
    fetch::receive(coming, digest, &mut file)?;
    Ok(path)
}
