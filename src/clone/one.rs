//! Makes one copy, from a disk that does not boot to one that does. Until the last step the disk has neither
//! boot code nor table.

use crate::clone::chunks::Chunks;
use crate::clone::fan_out::Incoming;
use crate::clone::golden::Golden;
use crate::clone::hashes::Hashes;
use crate::clone::renew::Identity;
use crate::clone::source::Source;
use crate::clone::unit::CHUNK;
use crate::clone::writer::Sink;
use crate::error::{Result, failed};
use crate::mount::scratch::Scratch;
use crate::progress::{Progress, Step};
use crate::words::digest::Digest;
use crate::words::region::Run;
use anyhow::Context;
use std::sync::OnceLock;

/// State that all copies share.
pub struct Shared<'s> {
    /// The golden disk, open for reading.
    pub source: &'s Source,
    /// Contents of the golden disk.
    pub golden: &'s Golden,
    /// Digests of the source once all of it was read, or the text of the error if it could not be.
    pub hashes: OnceLock<std::result::Result<Hashes, String>>,
    /// Folder in which a filesystem can be mounted for a moment.
    pub scratch: &'s Scratch,
    /// Shows the steps in progress.
    pub progress: &'s Progress,
}

impl Shared<'_> {
    /// Waits until the source was read; returns its digests, or an error if it was not read to its end.
    fn hashes(&self) -> Result<&Hashes> {
        self.hashes
            .wait()
            .as_ref()
            .map_err(|why| failed(why.clone(), "fix the problem with the source, and run the command again"))
    }
}

/// A complete copy.
pub struct Copy {
    /// GUID of the disk; for an MBR, its signature.
    pub disk_guid: String,
    /// Digest of the data that was sent to the disk and read back.
    pub hash: Digest,
    /// Steps that are left to do by hand.
    pub left: Vec<String>,
}

/// Makes `sink` a copy; `written` counts the bytes of data written, even if this fails.
pub fn make(sink: &Sink, incoming: Incoming, shared: &Shared, written: &mut u64) -> Result<Copy> {
    let golden = shared.golden;
    let grown = golden.table.grown_data(sink.target().size());
    sink.target().make_unbootable(grown)?; // from here on it does not boot
    copy(sink, incoming, shared, written)?;
    let hashes = shared.hashes()?;
    {
        let step = begin(sink, shared, "reading back", Some(hashes.data()));
        sink.settle()?;
        hashes.compare(sink, step.counter())?;
    }
    let identity = Identity::fresh(golden);
    let _step = begin(sink, shared, "giving it an identity of its own", None);
    let left = identity.give(golden, sink.target(), shared.scratch)?;
    shared.source.refuse_if_changed()?;
    let ends = golden.table.renewed(&identity.ids, sink.target().size(), golden.first_mib.clone())?;
    let finished = sink.target().write_ends(ends.clone()); // now it boots
    if let Err(error) = finished.and_then(|()| refuse_other_ends(sink, golden, &ends)) {
        sink.target().take_back().context(format!("{error:#}"))?;
        return Err(error);
    }
    Ok(Copy { disk_guid: identity.ids.of_disk(), hash: hashes.digest.clone(), left })
}

/// Writes the incoming chunks, and then reads and writes whatever did not come in.
fn copy(sink: &Sink, incoming: Incoming, shared: &Shared, written: &mut u64) -> Result<()> {
    let end = shared.golden.table.end();
    let step = begin(sink, shared, "copying", Some(end - CHUNK));
    let count = step.counter();
    for piece in incoming.chunks() {
        *written += sink.put(&piece)?;
        let range = piece.range();
        count(range.end - range.start);
    }
    let Some(rest) = incoming.rest() else { return shared.hashes().map(drop) };
    for piece in Chunks::new(shared.source, rest, end) {
        let piece = piece?;
        *written += sink.put(&piece)?;
        let range = piece.range();
        count(range.end - range.start);
    }
    Ok(())
}

/// Reads both tables back, after everything else, and fails if they differ from what was written.
fn refuse_other_ends(sink: &Sink, golden: &Golden, ends: &[Run]) -> Result<()> {
    sink.settle()?;
    for Run { offset, bytes } in ends {
        let mut found = vec![0; bytes.len()];
        sink.read(*offset, &mut found)?;
        if found != *bytes {
            return Err(failed(
                format!("{} returns a different partition table than was written to it", sink.name()),
                format!("do not use this disk until you know why: smartctl -a {}", sink.name()),
            ));
        }
    }
    let size = sink.target().size();
    golden.table.refuse_other(sink.target().file(), size)
}

fn begin(sink: &Sink, shared: &Shared, step: &'static str, bytes: Option<u64>) -> Step {
    shared.progress.disk_step(&sink.name(), step, bytes)
}
