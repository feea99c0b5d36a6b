//! Signatures: says which images may be used, by policy.json(5) and by keys of the command line. Nothing is fetched
//! here: sources hand over what is attached to an image.

pub mod attached;
pub mod bundle;
mod identity;
pub mod key;
pub mod policy_json;
pub mod rules;
mod scope;
pub mod simple_signing;
pub mod verdict;

pub use attached::Attached;
pub use rules::Rules;
pub use verdict::Verdict;
