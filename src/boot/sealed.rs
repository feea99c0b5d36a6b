//! A record that may be published.

use crate::boot::record::Record;
use crate::filesystem::kind::Checked;

/// The record of a slot whose filesystem was flushed, unmounted, and found intact by its checker. Only this can
/// be published on a boot partition.
#[derive(Debug, Clone)]
pub struct Sealed(Record);

impl Sealed {
    /// Seals the record of a slot. `checked` proves that the checker of its filesystem found nothing.
    pub fn new(record: Record, _checked: Checked) -> Sealed {
        Sealed(record)
    }

    /// Returns the record.
    pub fn record(&self) -> &Record {
        &self.0
    }
}
