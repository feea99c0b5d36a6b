//! A blob being downloaded. An interrupted transfer is resumed at its last byte; the reader checks the digest of the
//! whole blob, so that a server which resumes at another byte is detected.

use crate::error::{Result, failed, into_io};
use crate::oci::document::Descriptor;
use crate::oci::registry::http::{Answer, Failure};
use crate::oci::registry::retry::Retries;
use crate::oci::registry::session::Session;
use anyhow::Context;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Minimum number of bytes in each [`WINDOW`], that is 1 KB/s: a slower server could keep the disk locked for ever.
const MIN_BYTES: u64 = 60_000;
/// Time spent waiting for the registry, pauses included, over which the rate is measured.
const WINDOW: Duration = Duration::from_secs(60);

/// A blob of a registry, read from its start.
pub struct BlobStream {
    session: Arc<Session>,
    /// Path of its address, after the session's.
    path: String,
    /// Size in bytes.
    size: u64,
    answer: Option<Answer>,
    /// Received bytes that were not read yet.
    chunk: Option<Box<dyn AsRef<[u8]> + Send>>,
    /// Bytes of `chunk` that were read.
    read: usize,
    /// Bytes of the blob that were read.
    at: u64,
    /// Bytes to discard, because the server sends them again.
    skip: u64,
    /// True after the server answered with another range than the one requested: from then on the whole blob is
    /// requested.
    ignores_ranges: bool,
    retries: Retries,
    waited: Duration,
    came: u64,
}

impl BlobStream {
    /// Returns a stream that asks for nothing before it is read.
    pub fn new(session: Arc<Session>, which: &Descriptor) -> BlobStream {
        BlobStream::begin(session, format!("blobs/{}", which.digest), which.size)
    }

    /// Returns the stream of what is at this path after the session's address, of which the first answer is there.
    pub(super) fn answered(session: Arc<Session>, path: String, size: u64, answer: Answer) -> BlobStream {
        let retries = Retries::patient();
        BlobStream { answer: Some(answer), retries, ..BlobStream::begin(session, path, size) }
    }

    fn begin(session: Arc<Session>, path: String, size: u64) -> BlobStream {
        BlobStream {
            session,
            path,
            size,
            answer: None,
            chunk: None,
            read: 0,
            at: 0,
            skip: 0,
            ignores_ranges: false,
            retries: Retries::default(),
            waited: Duration::ZERO,
            came: 0,
        }
    }

    /// Fetches the next bytes; returns false at the end of the blob.
    fn next(&mut self) -> Result<bool> {
        while self.at < self.size {
            let begin = Instant::now();
            let step = self.step();
            let stepped = match step {
                Err(failure) => self.pause(failure).map(|()| false),
                Ok(came) => Ok(came),
            };
            self.waited += begin.elapsed();
            if stepped? {
                return Ok(true);
            }
            self.refuse_if_too_slow()?;
        }
        Ok(false)
    }

    /// Opens the transfer if there is none, or takes a piece of it; returns true if there are bytes to read.
    fn step(&mut self) -> Result<bool, Failure> {
        let Some(answer) = &mut self.answer else {
            self.answer = Some(self.open()?);
            return Ok(false);
        };
        let Some(chunk) = answer.chunk()? else {
            return Err(Failure::Again(failed("the registry ended the transfer early", ""), None));
        };
        let length = chunk.as_ref().len();
        let passed = usize::try_from(self.skip).unwrap_or(usize::MAX).min(length);
        self.skip -= passed as u64;
        if passed == length {
            return Ok(false);
        }
        self.came += (length - passed) as u64;
        self.retries.progress();
        self.chunk = Some(Box::new(chunk));
        self.read = passed;
        Ok(true)
    }

    fn open(&mut self) -> Result<Answer, Failure> {
        let from = if self.ignores_ranges { 0 } else { self.at };
        let answer = self.session.get(&self.path, "", from)?;
        let start = answer.starts_at().filter(|start| *start <= self.at);
        let Some(start) = start else {
            self.ignores_ranges = true;
            return Err(Failure::Again(
                failed("the registry answers with another range than the one requested", ""),
                None,
            ));
        };
        self.skip = self.at - start;
        Ok(answer)
    }

    /// Fails if the server sends less than the minimum rate.
    fn refuse_if_too_slow(&mut self) -> Result<()> {
        if self.waited < WINDOW {
            return Ok(());
        }
        let came = self.came;
        (self.waited, self.came) = (Duration::ZERO, 0);
        if came >= MIN_BYTES {
            return Ok(());
        }
        let (host, seconds) = (&self.session.host, WINDOW.as_secs());
        Err(failed(format!("{host} sent {came} bytes of a blob in {seconds} s"), "run the command again later"))
    }

    /// Waits before the next attempt, or gives up with the error that broke the transfer.
    fn pause(&mut self, failure: Failure) -> Result<()> {
        self.answer = None;
        let (error, goes_on) = match failure {
            Failure::Again(error, after) => (error, self.retries.wait(after)),
            // Where something came before, the network is gone for a moment; else the address may be wrong.
            Failure::Unreachable(error) if self.at > 0 => (error, self.retries.wait(None)),
            failure => (failure.into_error(), false),
        };
        if goes_on {
            return Ok(());
        }
        let (host, at, count) = (&self.session.host, self.at, self.retries.count());
        let what = self.path.strip_prefix("blobs/").filter(|digest| !digest.is_empty()).unwrap_or("a file");
        Err(error).with_context(|| format!("downloading {what} from {host} (byte {at}, after {count} retries)"))
    }
}

impl Read for BlobStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(chunk) = &self.chunk {
                let ready = &(**chunk).as_ref()[self.read..];
                if !ready.is_empty() {
                    let length = ready.len().min(buffer.len());
                    buffer[..length].copy_from_slice(&ready[..length]);
                    self.read += length;
                    self.at += length as u64;
                    return Ok(length);
                }
            }
            if !self.next().map_err(into_io)? {
                return Ok(0);
            }
        }
    }
}
