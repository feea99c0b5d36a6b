//! Sizes in bytes and times, as people write and read them.

use crate::error::{Result, usage};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

/// One mebibyte: the alignment of every partition.
pub const MIB: u64 = 1 << 20;

/// A number of bytes; reads `512MiB`, `8G`, `2GB`, prints `8GiB`, `1.5MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bytes(pub u64);

/// The units of a size, largest first: IEC powers of two, and SI powers of ten.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for Bytes {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Bytes> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let factor = match unit.trim() {
            "" => Some(1),
            // One letter, as qemu-img and sgdisk accept it: a power of two.
            unit if unit.len() == 1 && unit != "B" => {
                UNITS.iter().find(|(name, _)| name.len() == 3 && name.starts_with(&unit.to_uppercase())).map(|u| u.1)
            }
            unit => UNITS.iter().find(|(name, _)| *name == unit).map(|u| u.1),
        };
        number
            .parse::<u64>()
            .ok()
            .zip(factor)
            .and_then(|(number, factor)| number.checked_mul(factor))
            .map(Bytes)
            .ok_or_else(|| usage(format!("'{text}' is not a size"), "write a size like 8GiB, 512MiB or 4000000000"))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS[..4].iter().find(|(_, factor)| self.0 >= *factor).unwrap_or(&("B", 1));
        if self.0.is_multiple_of(*factor) {
            write!(f, "{}{unit}", self.0 / factor)
        } else {
            let tenths = u128::from(self.0) * 10 / u128::from(*factor);
            write!(f, "{}.{}{unit}", tenths / 10, tenths % 10)
        }
    }
}

/// Parses a duration as people write it (`90s`, `10m`, `1h 30m`), in seconds rounded down.
pub fn seconds_of(text: &str) -> Option<u64> {
    humantime::parse_duration(text).ok().map(|time| time.as_secs())
}

/// Formats a number of seconds as [`seconds_of`] reads it.
pub fn in_words(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

/// Formats a time in seconds since 1970 as RFC 3339 writes it, in UTC.
pub fn rfc3339(seconds: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

/// Parses a time as RFC 3339 writes it, in seconds since 1970 rounded down.
pub fn seconds_of_rfc3339(text: &str) -> Option<u64> {
    // The parser knows UTC alone: the offset, as in `+02:00`, is taken off.
    let (local, offset) = match text.len().checked_sub(6).and_then(|at| text.split_at_checked(at)) {
        Some((local, offset)) if offset.is_ascii() && offset.starts_with(['+', '-']) && offset.contains(':') => {
            (local, Some(offset))
        }
        _ => (text, None),
    };
    let minutes = |offset: &str| {
        let (hours, minutes) = offset[1..].split_once(':')?;
        Some(hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?)
    };
    let ahead = match offset {
        Some(offset) if offset.starts_with('-') => -minutes(offset)?,
        Some(offset) => minutes(offset)?,
        None => 0,
    };
    let utc = if offset.is_some() { format!("{local}Z") } else { local.to_owned() };
    let since = humantime::parse_rfc3339(&utc).ok()?.duration_since(UNIX_EPOCH).ok()?;
    since.as_secs().checked_add_signed(-ahead * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_every_zone() {
        let noon = seconds_of_rfc3339("2026-01-02T12:00:00Z");
        assert_eq!(noon, Some(1_767_355_200));
        for same in ["2026-01-02T12:00:00.5Z", "2026-01-02T14:00:00+02:00", "2026-01-02T06:30:00.25-05:30"] {
            assert_eq!(seconds_of_rfc3339(same), noon, "{same}");
        }
        for odd in ["", "yesterday", "2026-01-02", "+02:00", "2026-01-02T14:00:00+0é:0", "1969-12-31T00:00:00Z"] {
            assert_eq!(seconds_of_rfc3339(odd), None, "{odd}");
        }
    }

    #[test]
    fn reads_what_it_prints() {
        for text in ["8GiB", "512MiB", "3TiB", "1KiB", "17B"] {
            assert_eq!(text.parse::<Bytes>().unwrap().to_string(), text);
        }
        assert_eq!("8G".parse::<Bytes>().unwrap(), Bytes(8 << 30));
        assert_eq!("2GB".parse::<Bytes>().unwrap(), Bytes(2_000_000_000));
        assert_eq!(Bytes(3 * MIB / 2).to_string(), "1.5MiB");
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        assert_eq!((seconds_of("90s"), seconds_of("10m"), seconds_of("soon")), (Some(90), Some(600), None));
        assert_eq!(seconds_of(&in_words(5400)), Some(5400));
        assert_eq!(rfc3339(1_000_000_000), "2001-09-09T01:46:40Z");
    }

    #[test]
    fn refuses_what_is_no_size() {
        for text in ["", "GiB", "-1GiB", "8 parsecs", "99999999999TiB", "1.5GiB"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }
}
