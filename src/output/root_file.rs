//! The description of a root as one file, and the result of `image` (docs/image.md).

use crate::boot::root_on::least_memory;
use crate::oci::Image;
use crate::oci::signature::Verdict;
use crate::output::document::Document;
use crate::progress::Phase;
use crate::publish::written_file::WrittenFile;
use crate::root::packed::{Compression, Format, Packing};
use crate::words::digest::Digest;
use crate::words::units::{Bytes, rfc3339};
use serde::Serialize;
use std::fmt::Write as _;
use std::time::Duration;

/// The description of a root file, as `OUT.json` has it; `version` is that of this form.
#[derive(Debug, Serialize)]
pub struct RootFileFacts {
    version: u32,
    flipslot: &'static str,
    reference: String,
    digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    signature: Verdict,
    format: Format,
    compression: Compression,
    writer: String,
    file: WrittenFile,
    least_memory: u64,
    /// Files whose POSIX ACLs the format has no place for.
    acls_left_out: u64,
}

impl RootFileFacts {
    /// Gathers what is known of a file.
    pub fn new(image: &Image, packing: &Packing, file: WrittenFile, acls_left_out: u64) -> RootFileFacts {
        RootFileFacts {
            version: 1,
            flipslot: env!("CARGO_PKG_VERSION"),
            reference: image.reference.to_string(),
            digest: image.digest.clone(),
            created: image.created.map(rfc3339),
            signature: image.signature.clone(),
            format: packing.format,
            compression: packing.compression,
            writer: packing.writer(),
            least_memory: least_memory(file.size()),
            file,
            acls_left_out,
        }
    }
}

/// The result of a run.
#[derive(Debug, Serialize)]
pub struct WrittenRootFile {
    #[serde(flatten)]
    facts: RootFileFacts,
    phases: Vec<Phase>,
    seconds: f64,
}

impl WrittenRootFile {
    /// Gathers the result of a run.
    pub fn new(facts: RootFileFacts, phases: Vec<Phase>) -> WrittenRootFile {
        WrittenRootFile { facts, phases, seconds: 0.0 }
    }

    /// Adds the duration of the run.
    pub fn took(self, elapsed: Duration) -> WrittenRootFile {
        WrittenRootFile { seconds: (elapsed.as_secs_f64() * 1000.0).round() / 1000.0, ..self }
    }
}

impl Document for WrittenRootFile {
    fn text(&self) -> String {
        let RootFileFacts { reference, digest, signature, format, compression, writer, file, .. } = &self.facts;
        let (format, compression) = (word(format), word(compression));
        let mut text = format!("{}: {}, written in {:.1} s\n", file.name(), Bytes(file.size()), self.seconds);
        let _ = writeln!(text, "  {reference}\n  {digest}\n  {}", signature.in_words());
        let _ = writeln!(text, "  {format}, compression {compression}, by {writer}; {}", file.digest());
        let _ = writeln!(text, "  in RAM it needs a machine with {}", Bytes(self.facts.least_memory));
        if self.facts.acls_left_out > 0 {
            let _ = writeln!(
                text,
                "  a squashfs has no POSIX ACLs: those of {} files are left out (--format erofs keeps them)",
                self.facts.acls_left_out
            );
        }
        for Phase { step, seconds, .. } in &self.phases {
            let _ = writeln!(text, "  {seconds:6.1} s  {step}");
        }
        text
    }
}

/// Returns a value's name in JSON.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
