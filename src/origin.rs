//! Where the identifiers and times come from that flipslot itself writes: chance and the clock, or, for
//! builds that shall be the same again, what is written and `SOURCE_DATE_EPOCH`
//! (reproducible-builds.org/specs/source-date-epoch).

use crate::error::{Result, usage};
use sha2::{Digest as _, Sha256};
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// The variable that says when a build took place, in seconds since 1970.
const VARIABLE: &str = "SOURCE_DATE_EPOCH";

/// Where they come from.
#[derive(Debug, Clone, Default)]
pub enum Origin {
    /// Chance, and the clock.
    #[default]
    Fresh,
    /// Inputs: the same give the same.
    Derived {
        /// Seconds since 1970.
        epoch: u64,
        /// A hash of all that makes this disk another one than the next.
        seed: [u8; 32],
    },
}

impl Origin {
    /// From `inputs` where the environment says an epoch; else fresh.
    pub fn of_environment(inputs: &[String]) -> Result<Origin> {
        let Some(text) = std::env::var_os(VARIABLE) else { return Ok(Origin::Fresh) };
        Origin::derived(&text.to_string_lossy(), inputs)
    }

    fn derived(text: &str, inputs: &[String]) -> Result<Origin> {
        // A time that no one can write down is none (RFC 3339 has years of four digits).
        const LAST: u64 = 253_402_300_799;
        let epoch = text.parse().ok().filter(|epoch| *epoch <= LAST).ok_or_else(|| {
            let found = format!("{VARIABLE} is '{}', which is no time", text.escape_debug());
            usage(found, format!("set it to seconds since 1970, or take it away: unset {VARIABLE}"))
        })?;
        let mut hasher = Sha256::new();
        for part in [&format!("flipslot {epoch}")].into_iter().chain(inputs) {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Ok(Origin::Derived { epoch, seed: hasher.finalize().into() })
    }

    /// The identifier of `what` on this disk. A derived one has version 8 (RFC 9562, 5.8).
    pub fn uuid(&self, what: &str) -> Uuid {
        let Origin::Derived { seed, .. } = self else { return Uuid::new_v4() };
        let hash = Sha256::new().chain_update(seed).chain_update(what).finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// The time, in seconds since 1970.
    pub fn now(&self) -> u64 {
        self.epoch().unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()))
    }

    /// The time that other programs shall take for the present.
    pub fn epoch(&self) -> Option<u64> {
        match self {
            Origin::Fresh => None,
            Origin::Derived { epoch, .. } => Some(*epoch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uuid(epoch: &str, inputs: &[&str]) -> Uuid {
        let inputs: Vec<String> = inputs.iter().map(ToString::to_string).collect();
        Origin::derived(epoch, &inputs).unwrap().uuid("disk")
    }

    #[test]
    fn the_same_inputs_give_the_same_and_any_other_another() {
        assert_eq!(uuid("1000000000", &["a", "b"]), uuid("1000000000", &["a", "b"]));
        let all = [
            uuid("1000000000", &["a", "b"]),
            uuid("1000000001", &["a", "b"]),
            uuid("1000000000", &["ab"]),
            uuid("1000000000", &["a"]),
            Origin::derived("1000000000", &[]).unwrap().uuid("slot-a"),
        ];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
        assert_eq!(all[0].get_version_num(), 8);
        assert_ne!(Origin::Fresh.uuid("disk"), Origin::Fresh.uuid("disk"));
    }

    #[test]
    fn what_is_no_time_is_a_mistake_in_the_environment() {
        for odd in ["", "now", "-1", "1.5", "2026-11-21", "99999999999999"] {
            let error = Origin::derived(odd, &[]).unwrap_err();
            assert_eq!(crate::error::kind(&error), crate::error::Kind::Usage, "{odd}");
        }
        assert_eq!(Origin::derived("1000000000", &[]).unwrap().now(), 1_000_000_000);
    }
}
