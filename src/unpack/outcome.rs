//! The report of the unpacking process: nothing but its success, or an error with kind and hint.

use crate::error::{self, Kind, Result, problem};
use serde::{Deserialize, Serialize};

/// The report, printed as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// All layers were verified and written.
    Unpacked,
    /// Something was refused, or failed.
    Failed {
        /// True if nothing was written yet.
        refused: bool,
        /// The whole error in one line.
        found: String,
        /// The next command to try; empty if there is none.
        next: String,
    },
}

impl Outcome {
    /// Turns a result into the report.
    pub fn of(result: Result<()>) -> Outcome {
        match result {
            Ok(()) => Outcome::Unpacked,
            Err(error) => Outcome::Failed {
                refused: error::kind(&error) == Kind::Refused,
                found: format!("{error:#}"),
                next: error::hint(&error).unwrap_or_default().to_owned(),
            },
        }
    }

    /// Turns the report into the result that it was.
    pub fn into_result(self) -> Result<()> {
        match self {
            Outcome::Unpacked => Ok(()),
            Outcome::Failed { refused, found, next } => {
                Err(problem(if refused { Kind::Refused } else { Kind::Failed }, found, next))
            }
        }
    }
}
