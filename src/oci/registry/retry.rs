//! Retries with exponential backoff.

use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::Duration;

/// Retries without progress before a transfer fails.
const RETRIES_MAX: u32 = 5;
/// Pause before the second retry; it doubles with each later one.
const PAUSE: Duration = Duration::from_millis(500);
/// Pause before the first retry: most breaks are over at once.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// Longest pause, whatever a server asks for.
const LONGEST: Duration = Duration::from_secs(60);

/// Retries without progress where nobody is there to try again: their pauses alone are two minutes.
const PATIENT_MAX: u32 = 18;
/// Longest pause of these.
const PATIENT_PAUSE: Duration = Duration::from_secs(8);

/// Retries since the last progress.
#[derive(Debug)]
pub struct Retries {
    count: u32,
    most: u32,
}

impl Default for Retries {
    fn default() -> Retries {
        Retries { count: 0, most: RETRIES_MAX }
    }
}

impl Retries {
    /// Retries with pauses of two minutes, for a program that nobody would start again.
    pub fn patient() -> Retries {
        Retries { count: 0, most: PATIENT_MAX }
    }

    /// Resets the count, because data arrived.
    pub fn progress(&mut self) {
        self.count = 0;
    }

    /// Returns the number of retries since the last progress.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Waits before the next retry: as long as the server asks (Retry-After), or longer each time, with random jitter,
    /// so that many machines do not retry at the same moment. Returns false if no retry is left.
    pub fn wait(&mut self, asked: Option<Duration>) -> bool {
        if self.count == self.most {
            return false;
        }
        thread::sleep(pause(self.count, asked, RandomState::new().hash_one(self.count)));
        self.count += 1;
        true
    }
}

/// Returns the pause after `failures` failures in a row; `random` shortens it by at most half.
fn pause(failures: u32, asked: Option<Duration>, random: u64) -> Duration {
    let own = failures.checked_sub(1).map_or(FIRST_PAUSE, |more| (PAUSE * 2u32.pow(more)).min(PATIENT_PAUSE));
    let share = 1.0 - f64::from(u32::try_from(random % 1000).unwrap_or(0)) / 2000.0;
    asked.unwrap_or(own.mul_f64(share)).min(LONGEST)
}

/// Reads the seconds of a Retry-After header; a date there counts as if nothing was asked.
pub fn retry_after(header: Option<&str>) -> Option<Duration> {
    header?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c6_pauses_grow_and_what_a_server_asks_for_is_capped() {
        assert!(pause(0, None, 0) < PAUSE);
        assert_eq!(pause(1, None, 0), PAUSE);
        assert_eq!(pause(4, None, 0), PAUSE * 8);
        assert!((PAUSE / 2..PAUSE).contains(&pause(1, None, 999)));
        let asked = |header| pause(1, retry_after(Some(header)), 0);
        assert_eq!(asked("7"), Duration::from_secs(7));
        assert_eq!(asked("315360000"), LONGEST);
        assert_eq!(asked("Fri, 31 Dec 2036 23:59:59 GMT"), PAUSE);
        assert_eq!(asked("-1"), PAUSE);
    }
}
