//! The origin of the identifiers and times that flipslot itself writes: random numbers and the clock, or, for
//! reproducible builds, the inputs and `SOURCE_DATE_EPOCH`
//! (reproducible-builds.org/specs/source-date-epoch).

use crate::error::{Result, usage};
use sha2::{Digest as _, Sha256};
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// The environment variable that gives the time of a build, in seconds since 1970.
const VARIABLE: &str = "SOURCE_DATE_EPOCH";

/// The origin of identifiers and times.
#[derive(Debug, Clone, Default)]
pub enum Origin {
    /// Random numbers, and the clock.
    #[default]
    Fresh,
    /// The inputs: the same inputs give the same identifiers and times.
    Derived {
        /// Time of the build, in seconds since 1970.
        epoch: u64,
        /// Hash of everything that distinguishes this disk from another.
        seed: [u8; 32],
    },
}

impl Origin {
    /// Derives an origin from `inputs` if the environment gives an epoch; otherwise returns [`Origin::Fresh`].
    pub fn of_environment(inputs: &[String]) -> Result<Origin> {
        let Some(text) = std::env::var_os(VARIABLE) else { return Ok(Origin::Fresh) };
        Origin::derived(&text.to_string_lossy(), inputs)
    }

    fn derived(text: &str, inputs: &[String]) -> Result<Origin> {
        // The last time that can be written down (RFC 3339 has years of four digits).
        const LAST: u64 = 253_402_300_799;
        let epoch = text.parse().ok().filter(|epoch| *epoch <= LAST).ok_or_else(|| {
            let found = format!("{VARIABLE} is '{}', which is not a time", text.escape_debug());
            usage(found, format!("set it to seconds since 1970, or remove it: unset {VARIABLE}"))
        })?;
        let mut hasher = Sha256::new();
        for part in [&format!("flipslot {epoch}")].into_iter().chain(inputs) {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Ok(Origin::Derived { epoch, seed: hasher.finalize().into() })
    }

    /// Returns the identifier of `what` on this disk. A derived one has version 8 (RFC 9562, 5.8).
    pub fn uuid(&self, what: &str) -> Uuid {
        let Origin::Derived { seed, .. } = self else { return Uuid::new_v4() };
        let hash = Sha256::new().chain_update(seed).chain_update(what).finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// Returns the time, in seconds since 1970.
    pub fn now(&self) -> u64 {
        self.epoch().unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()))
    }

    /// Returns the time that other programs must use as the present; `None` for the clock's.
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
