//! Lines about the fixes in a slot, as several documents show them.

use crate::boot::record::Fixed;
use crate::boot::slot_facts::SlotFacts;

/// Formats a line for each fix that was made as a slot was written, indented as a detail of the slot.
pub fn fixes(image: &SlotFacts) -> String {
    let line = |Fixed { rule, done, .. }: &Fixed| format!("          fixed {rule}: {}\n", done.join("; "));
    image.fixed.iter().map(line).collect()
}
