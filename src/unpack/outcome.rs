//! The report of the unpacking process: nothing but its success, or an error with kind and hint.

use crate::error::{self, Result, failed};
use serde::{Deserialize, Serialize};

/// The report, printed as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// All layers were verified and written.
    Unpacked,
    /// A layer was refused, or something failed.
    Failed {
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
                found: format!("{error:#}"),
                next: error::hint(&error).unwrap_or_default().to_owned(),
            },
        }
    }

    /// Turns the report into the result that it was.
    pub fn into_result(self) -> Result<()> {
        match self {
            Outcome::Unpacked => Ok(()),
            // By then the slot was formatted.
            Outcome::Failed { found, next } => Err(failed(found, next)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_sentence_and_its_hint() {
        let told = serde_json::to_string(&Outcome::of(Err(failed("found", "next")))).unwrap();
        let error = serde_json::from_str::<Outcome>(&told).unwrap().into_result().unwrap_err();
        assert_eq!((format!("{error:#}").as_str(), error::hint(&error)), ("found", Some("next")));
        let done = serde_json::to_string(&Outcome::of(Ok(()))).unwrap();
        assert!(serde_json::from_str::<Outcome>(&done).unwrap().into_result().is_ok());
    }
}
