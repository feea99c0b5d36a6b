//! Errors: a chain of contexts, one kind, and the next command to try.

use std::{fmt, io};

/// A result whose error is a chain of contexts; `{:#}` prints it as one line.
pub type Result<T, E = anyhow::Error> = std::result::Result<T, E>;

/// The kind of a failure: its cause, and the state that it leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command line or the config file is wrong.
    Usage,
    /// The program stopped before anything was written.
    Refused,
    /// Something went wrong on the way. A file is unchanged, and so is every slot that booted; a device that
    /// was to be overwritten (`--yes`) does not boot until it has been written completely.
    Failed,
}

impl Kind {
    /// Returns the exit code of the program.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Usage => 2,
            Kind::Refused => 3,
            Kind::Failed => 1,
        }
    }
}

/// An error with a kind and a hint: what was found, and what to do next.
#[derive(Debug)]
pub struct Problem {
    kind: Kind,
    found: String,
    next: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.found)
    }
}

impl std::error::Error for Problem {}

/// Builds an error for a wrong command line or config: `found` says what is wrong, `next` what to write
/// instead.
pub fn usage(found: impl Into<String>, next: impl Into<String>) -> anyhow::Error {
    problem(Kind::Usage, found, next)
}

/// Builds an error that stops before anything is written: `found` says what was found and why it matters,
/// `next` what to do.
pub fn refused(found: impl Into<String>, next: impl Into<String>) -> anyhow::Error {
    problem(Kind::Refused, found, next)
}

/// Builds an error that stops in the middle, in the state that [`Kind::Failed`] describes.
pub fn failed(found: impl Into<String>, next: impl Into<String>) -> anyhow::Error {
    problem(Kind::Failed, found, next)
}

/// Builds an error of a kind that is known only at run time.
pub fn problem(kind: Kind, found: impl Into<String>, next: impl Into<String>) -> anyhow::Error {
    Problem { kind, found: found.into(), next: next.into() }.into()
}

/// Returns the kind of an error: that of the first [`Problem`] in its chain, else [`Kind::Failed`].
pub fn kind(error: &anyhow::Error) -> Kind {
    error.downcast_ref::<Problem>().map_or(Kind::Failed, |p| p.kind)
}

/// Returns the next command to try, if the error names one.
pub fn hint(error: &anyhow::Error) -> Option<&str> {
    error.downcast_ref::<Problem>().map(|p| p.next.as_str()).filter(|next| !next.is_empty())
}

/// Carries an error, with its kind and hint, through an interface that knows only `io::Error`.
#[derive(Debug)]
struct Carried(anyhow::Error);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for Carried {}

/// Wraps an error in an `io::Error`; [`from_io`] unwraps it.
pub fn into_io(error: anyhow::Error) -> io::Error {
    io::Error::other(Carried(error))
}

/// Returns the error that [`into_io`] wrapped, or the `io::Error` itself.
pub fn from_io(error: io::Error) -> anyhow::Error {
    if error.get_ref().is_some_and(|inner| inner.is::<Carried>()) {
        if let Some(Ok(carried)) = error.into_inner().map(|inner| inner.downcast::<Carried>()) {
            return carried.0;
        }
        unreachable!("the type was checked just now");
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_context_keeps_kind_and_hint() {
        let error = Err::<(), _>(refused("sda is mounted", "umount /mnt")).context("opening sda").unwrap_err();
        assert_eq!(kind(&error).exit_code(), 3);
        assert_eq!(hint(&error), Some("umount /mnt"));
        assert_eq!(format!("{error:#}"), "opening sda: sda is mounted");
    }

    #[test]
    fn kind_and_hint_survive_an_io_error() {
        let error = from_io(into_io(refused("sda is mounted", "umount /mnt")));
        assert_eq!((kind(&error), hint(&error)), (Kind::Refused, Some("umount /mnt")));
    }
}
