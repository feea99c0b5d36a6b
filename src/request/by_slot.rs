//! Values for slots: `--flag VALUE` for all, `--flag SLOT=VALUE` for one, and likewise in the config.

use crate::error::Result;
use crate::request::config::BySlot;
use crate::words::slot::Slot;
use std::collections::BTreeMap;

/// Values by slot; the one under `None` is for all other slots.
pub type Values<T> = BTreeMap<Option<Slot>, T>;

/// Joins the flags with the config; a flag for all slots overrides the config's value of each. No value
/// contains a `=`: the text before one is a slot.
pub fn joined<'c, T: Clone + 'c, U>(
    flags: &[String],
    config: Option<&'c BySlot<T>>,
    parse: impl Fn(&str) -> Result<U>,
    take: impl Fn(&T) -> Result<U>,
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

/// Returns the value of a slot: its own, or the one for all others.
pub fn of<T>(values: &Values<T>, slot: Option<Slot>) -> Option<&T> {
    values.get(&slot).or_else(|| values.get(&None))
}
