//! An image on a server: it is fetched into memory, once.

use crate::error::{Result, failed};
use crate::init::devices::Events;
use crate::init::kernel_log::{Level, log};
use crate::init::load::Loader;
use crate::init::online::{Cards, Online};
use crate::init::overlay::FOLDER;
use crate::init::words::Words;
use crate::network::child::{self, Order};
use crate::network::fetch::{self, Timed};
use crate::network::lease::Lease;
use crate::network::settings::Settings;
use crate::words::units::Bytes;
use anyhow::Context;
use rustix::mount::{MountFlags, mount};
use rustix::pipe::fcntl_setpipe_size;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

/// Memory in bytes that must be left beside an image: for the kernel, and a system that starts.
const RESERVE: u64 = 48 << 20;
/// Time for a server to answer. Machines that come up together after a power cut wait for one another.
const TO_ANSWER: Duration = Duration::from_secs(120);
/// Time for an answer where another card may lead to the server.
const TO_ANSWER_FIRST: Duration = Duration::from_secs(15);
/// Time for an image beside that for its bytes, and the slowest rate in bytes a second: a network of 10 Mbit/s that
/// twenty machines share.
const TO_FETCH: (Duration, u64) = (Duration::from_secs(600), 50_000);

/// Size of the pipe in bytes: the most that a process may ask for without privileges (pipe(7)).
const PIPE: usize = 1 << 20;

/// An image that was fetched.
pub struct Fetched {
    /// Path of its file.
    pub file: String,
    /// Name that the network has for this machine.
    pub host: Option<String>,
}

/// Fetches the image at `url` into memory, and fails unless it has this SHA-256 digest.
pub fn fetch(url: &str, digest: &str, words: &Words, events: &Events, loader: &mut Loader) -> Result<Fetched> {
    let settings = Settings::read(words.net.as_deref(), words.booted_by.as_deref())?;
    let hall = format!("{FOLDER}/hall");
    fs::create_dir_all(&hall).context("making a folder")?;
    let hall = Path::new(&hall);
    let mut cards = Cards::find(&settings, hall, events, loader)?;
    let mut problem = None;
    let fetched = loop {
        let online = cards.next(problem.take())?;
        let Online { card, lease } = &online;
        let address = if lease.prefix == 0 { "that a router advertises".to_owned() } else { lease.address.to_string() };
        log(Level::Info, &format!("{} has the address {address}", card.name));
        let patience = if cards.has_another() { TO_ANSWER_FIRST } else { TO_ANSWER };
        let answered = Coming::begin(url, lease, hall, patience);
        let file = match answered {
            Ok(coming) => Some(coming.keep(url, digest)),
            Err(error) => {
                log(Level::Warning, &format!("{}: {error:#}", card.name));
                problem = Some(error.context(format!("fetching {url}")));
                None
            }
        };
        let left = cards.leave(&online);
        left.unwrap_or_else(|error| log(Level::Warning, &format!("{}: {error:#}", card.name)));
        // Another card may lead to the server; once it has answered, there is no better one.
        if let Some(file) = file {
            break file.map(|file| Fetched { file, host: lease.host.clone() });
        }
    };
    cards.switch_off();
    fetched
}

/// A file that comes from a server which has answered.
struct Coming {
    process: Child,
    input: Timed<ChildStdout>,
    length: u64,
    begin: Instant,
}

impl Coming {
    /// Asks for a file; fails if no server answers within `patience`.
    fn begin(url: &str, lease: &Lease, hall: &Path, patience: Duration) -> Result<Coming> {
        let begin = Instant::now();
        let (dns, search) = (lease.dns.clone(), lease.domain.clone());
        let order = Order::Fetch { url: url.to_owned(), dns, search, seconds: patience.as_secs() };
        let mut process = child::start(&order, hall, Stdio::null())?;
        let input = process.stdout.take().context("reading what comes")?;
        let _ = fcntl_setpipe_size(&input, PIPE); // a smaller one is slower, and no more than that
        // One connection that was begun in time may take longer.
        let mut input = Timed::new(input, patience * 2 + Duration::from_secs(60));
        match fetch::length(&mut input) {
            Ok(length) => {
                let (base, rate) = TO_FETCH;
                let input = Timed::new(input.into_inner(), base + Duration::from_secs(length / rate));
                Ok(Coming { process, input, length, begin })
            }
            Err(error) => {
                let _ = process.kill();
                child::ended(process)?;
                Err(error).context("the process that fetches ends without a word")
            }
        }
    }

    /// Writes what comes into memory; returns the path of the file.
    fn keep(self, url: &str, digest: &str) -> Result<String> {
        let Coming { mut process, input, length, begin } = self;
        let kept = keep(input, length, digest);
        if let Err(error) = kept {
            // A transfer that broke off is told by the process that saw it, if it has ended by itself.
            let broke_off = fetch::is_cut(&error).then(|| child::ended_soon(&mut process)).flatten();
            let _ = process.kill();
            let _ = process.wait();
            return Err(broke_off.unwrap_or(error));
        }
        child::ended(process)?;
        log(Level::Info, &format!("{} from {url} in {:.1} s", Bytes(length), begin.elapsed().as_secs_f64()));
        kept
    }
}

/// Writes what comes into memory of its size.
fn keep(input: impl Read, length: u64, digest: &str) -> Result<String> {
    let available = memory_available()?;
    if length.saturating_add(RESERVE) > available {
        let found =
            format!("the image has {}, and this machine has {} of memory left", Bytes(length), Bytes(available));
        return Err(failed(found, "give it more memory, or compress the image: flipslot netboot --format squashfs"));
    }
    let place = format!("{FOLDER}/memory");
    fs::create_dir_all(&place).context("making a folder")?;
    let options = CString::new(format!("mode=0700,size={}", length.next_multiple_of(4096).saturating_add(4096)))?;
    mount(c"tmpfs", &place, c"tmpfs", MountFlags::NODEV | MountFlags::NOSUID, options.as_c_str())
        .context("mounting memory for the image")?;
    let path = format!("{place}/image");
    let mut file = File::create_new(&path).context("making a file in memory")?;
    fetch::receive(input, length, digest, &mut file)?;
    Ok(path)
}

/// Returns the memory that can be had without swapping, in bytes (proc(5), MemAvailable).
fn memory_available() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.context("reading MemAvailable of /proc/meminfo")?.saturating_mul(1024))
}
