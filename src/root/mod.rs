//! A root filesystem, wherever it is: mounted in a slot, or in memory.
//!
//! [`tree::Tree`] is what rules read. [`mounted`] and [`memory`] implement it, and the
//! [`RootSink`](crate::layer::RootSink) that layers stream into.

pub mod carry_over;
pub mod memory;
pub mod metadata;
pub mod mounted;
pub mod tree;
