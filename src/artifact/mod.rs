//! What becomes of a disk file that is whole: another format, and what people and programs want beside
//! it. All of it appears in an order in which nothing names what is not there ([`publish`]).

pub mod allocated;
pub mod bmap;
pub mod convert;
pub mod format;
pub mod manifest;
pub mod publish;
pub mod sums;

pub use format::Format;
pub use publish::{Artifact, WrittenFile};
