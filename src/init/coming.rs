//! Something that comes from a server: one process behind walls speaks to it, and this one reads what that sends.

use crate::error::{Result, into_io};
use crate::network::child::{self, Order};
use crate::network::fetch::{self, Measured, Timed};
use crate::network::lease::Lease;
use crate::network::wanted::Wanted;
use anyhow::Context;
use rustix::pipe::fcntl_setpipe_size;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout};
use std::time::Duration;

/// Time for a server to answer. Machines that come up together after a power cut wait for one another.
pub const TO_ANSWER: Duration = Duration::from_secs(120);
/// Time for a transfer beside that for its bytes, and the slowest rate in bytes a second: a network of 10 Mbit/s that
/// twenty machines share.
const TO_FETCH: (Duration, u64) = (Duration::from_secs(600), 50_000);
/// Size of the pipe in bytes: the most that a process may ask for without privileges (pipe(7)).
const PIPE: usize = 1 << 20;

/// The way to servers, once there is an address.
#[derive(Debug, Clone)]
pub struct Reach {
    /// Address and name servers.
    pub lease: Lease,
    /// Empty folder for the roots of processes.
    pub hall: PathBuf,
    /// Time for a server to answer.
    pub patience: Duration,
}

impl Reach {
    /// Returns the way with the time for a server that has answered before.
    pub fn patient(self) -> Reach {
        Reach { patience: TO_ANSWER, ..self }
    }
}

/// Something that comes from a server which has answered. What it reads is not verified.
pub struct Coming {
    /// Process that speaks to the server; `None` once it has ended.
    process: Option<Child>,
    input: Measured<Timed<ChildStdout>>,
}

impl Coming {
    /// Asks a server; fails if none answers in time.
    pub fn begin(what: &Wanted, reach: &Reach) -> Result<Coming> {
        let Reach { lease, hall, patience } = reach;
        let (dns, search) = (lease.dns.clone(), lease.domain.clone());
        let order = Order::Fetch { what: what.clone(), dns, search, seconds: patience.as_secs() };
        Coming::of(child::start_in_private(&order, hall)?, *patience)
    }

    /// Waits for the length that a process says first.
    fn of(mut process: Child, patience: Duration) -> Result<Coming> {
        let input = process.stdout.take().context("reading what comes")?;
        let _ = fcntl_setpipe_size(&input, PIPE); // a smaller one is slower, and no more than that
        // One connection that was begun in time may take longer.
        let mut input = Timed::new(input, patience * 2 + Duration::from_secs(60));
        match fetch::length(&mut input) {
            Ok(length) => {
                let (base, rate) = TO_FETCH;
                let input = Timed::new(input.into_inner(), base + Duration::from_secs(length / rate));
                Ok(Coming { process: Some(process), input: Measured::new(input, length) })
            }
            Err(error) => {
                let is_late = error.kind() == ErrorKind::TimedOut;
                let _ = process.kill();
                let ended = child::ended(process);
                if !is_late {
                    ended?;
                }
                Err(error).context("waiting for the server's answer")
            }
        }
    }

    /// Returns the length that the server says, in bytes.
    pub fn length(&self) -> u64 {
        self.input.length()
    }

    /// Waits for the end of the process, and returns what it had to say.
    fn end(&mut self) -> io::Result<()> {
        self.process.take().map_or(Ok(()), |process| child::ended(process).map_err(into_io))
    }
}

/// A file that comes from a server which has answered, into a file in memory. It is not verified.
pub struct Keeping {
    process: Coming,
}

impl Keeping {
    /// Asks a server for the file at an address, which is to have at most `room` bytes; fails if none answers in time.
    pub fn begin(url: &str, into: File, room: u64, reach: &Reach) -> Result<Keeping> {
        let Reach { lease, hall, patience } = reach;
        let (dns, search) = (lease.dns.clone(), lease.domain.clone());
        let order = Order::Keep { url: url.to_owned(), dns, search, seconds: patience.as_secs(), room };
        let process = Coming::of(child::start(&order, hall, into.into())?, *patience)?;
        Ok(Keeping { process })
    }

    /// Returns the length that the server says, in bytes.
    pub fn length(&self) -> u64 {
        self.process.input.length()
    }

    /// Waits until all has come, and the process has ended that writes it.
    pub fn finish(mut self) -> Result<()> {
        // It prints nothing more: this is its end.
        io::copy(self.process.input.whole(), &mut io::sink()).context("waiting for what comes")?;
        Ok(self.process.end()?)
    }
}

impl Read for Coming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.input.read(buffer) {
            Ok(0) if self.input.is_complete() => self.end().map(|()| 0),
            // The process that saw a transfer break off says why, if it has ended by itself.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(self.process.as_mut().and_then(child::ended_soon).map_or(error, into_io))
            }
            read => read,
        }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
