//! Values for slots: `--flag VALUE` for every one, `--flag SLOT=VALUE` for one, and the same in the config.

use crate::config::BySlot;
use crate::error::Result;
use crate::slot::Slot;
use std::collections::BTreeMap;

/// Values by slot; that of no slot is for all others.
pub type Values<T> = BTreeMap<Option<Slot>, T>;

/// Joins the flags with the config; a flag for every slot overrides what the config says of each. No value
/// holds a `=`: what stands before one is a slot.
pub fn joined<'c, T: Clone + 'c, U>(
    flags: &[String],
    config: Option<&'c BySlot<T>>,
    (parse, take): (impl Fn(&str) -> Result<U>, impl Fn(&T) -> Result<U>),
) -> Result<Values<U>> {
    let mut values = Values::new();
    if flags.iter().all(|text| text.contains('=')) {
        for (slot, value) in config.into_iter().flat_map(BySlot::iter) {
            values.insert(slot.map(str::parse).transpose()?, take(value)?);
        }
    }
    for text in flags {
        let (slot, value) = match text.split_once('=') {
            Some((slot, value)) => (Some(slot.parse()?), value),
            None => (None, text.as_str()),
        };
        values.insert(slot, parse(value)?);
    }
    Ok(values)
}

/// The value of a slot.
pub fn of<T>(values: &Values<T>, slot: Slot) -> Option<&T> {
    values.get(&Some(slot)).or_else(|| values.get(&None))
}
