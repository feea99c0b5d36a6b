//! Finishes a complete disk file: converts it to another format, and adds files for people and programs
//! beside it. All of them appear in an order in which none names a file that is not there yet ([`publish`]).

pub mod allocated;
pub mod bmap;
pub mod convert;
pub mod format;
pub mod manifest;
pub mod publish;
pub mod sums;

pub use format::Format;
pub use publish::{Artifact, WrittenFile};
