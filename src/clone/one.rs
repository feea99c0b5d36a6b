//! One copy, from a disk that does not boot to one that does. Until the last step it has neither boot
//! code nor table.

use crate::clone::CHUNK;
use crate::clone::golden::Golden;
use crate::clone::hashes::Hashes;
use crate::clone::identity::Identity;
use crate::clone::pieces::Pieces;
use crate::clone::sink::Sink;
use crate::clone::source::Source;
use crate::clone::spread::Incoming;
use crate::digest::Digest;
use crate::disk::mount::Scratch;
use crate::error::{Result, failed};
use crate::progress::{Progress, Step};
use anyhow::Context;
use std::sync::OnceLock;

/// What all copies share.
pub struct Shared<'s> {
    /// Where they come from.
    pub source: &'s Source,
    /// What is on it.
    pub golden: &'s Golden,
    /// What was read of it, once all was; the text of what went wrong, if it could not be.
    pub hashes: OnceLock<std::result::Result<Hashes, String>>,
    /// Where a filesystem can be mounted for a moment.
    pub scratch: &'s Scratch,
    /// What is going on.
    pub progress: &'s Progress,
}

impl Shared<'_> {
    /// What was read of the source, when it was read to its end; or why it was not.
    fn hashes(&self) -> Result<&Hashes> {
        self.hashes.wait().as_ref().map_err(|why| failed(why.clone(), "see what is wrong with the source"))
    }
}

/// A copy that is whole.
pub struct Copy {
    /// Its disk's GUID; of an MBR its signature.
    pub disk_guid: String,
    /// What was sent to it and read back.
    pub hash: Digest,
    /// What is left to do by hand.
    pub left: Vec<String>,
}

/// Makes `sink` a copy; `written` is how many bytes of data it took, also if it fails.
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

/// Takes what comes in; what does not, it reads by itself.
fn copy(sink: &Sink, incoming: Incoming, shared: &Shared, written: &mut u64) -> Result<()> {
    let end = shared.golden.table.end();
    let step = begin(sink, shared, "copying", Some(end - CHUNK));
    let count = step.counter();
    for piece in incoming.pieces() {
        *written += sink.put(&piece)?;
        let range = piece.range();
        count(range.end - range.start);
    }
    let Some(rest) = incoming.rest() else { return shared.hashes().map(drop) };
    for piece in Pieces::new(shared.source, rest, end) {
        let piece = piece?;
        *written += sink.put(&piece)?;
        let range = piece.range();
        count(range.end - range.start);
    }
    Ok(())
}

/// Reads both tables back, after all else.
fn refuse_other_ends(sink: &Sink, golden: &Golden, ends: &[(u64, Vec<u8>)]) -> Result<()> {
    sink.settle()?;
    for (at, bytes) in ends {
        let mut found = vec![0; bytes.len()];
        sink.read(*at, &mut found)?;
        if found != *bytes {
            return Err(failed(
                format!("{} gives back another partition table than was written to it", sink.name()),
                format!("do not use this disk before you know why: smartctl -a {}", sink.name()),
            ));
        }
    }
    let size = sink.target().size();
    golden.table.refuse_other(sink.target().file(), size)
}

fn begin(sink: &Sink, shared: &Shared, step: &'static str, bytes: Option<u64>) -> Step {
    shared.progress.disk_step(&sink.name(), step, bytes)
}
