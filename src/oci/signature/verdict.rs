//! The judgement of an image's signatures.

use serde::Serialize;

/// Judgement of an image's signatures, before the image is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// True if a signature was required, and one was found that fits.
    pub verified: bool,
    /// Names of the keys whose signatures were required and found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// The policy that accepts the image, or `none`.
    pub policy: String,
}

impl Verdict {
    /// Returns the sentence for people.
    pub fn in_words(&self) -> String {
        match (self.verified, self.policy.as_str()) {
            (true, _) => format!("signed with {}", self.keys.join(", ")),
            (false, "none") => "no signature was verified: there is no policy".to_owned(),
            (false, policy) => format!("no signature was verified: {policy} requires none"),
        }
    }
}
