//! A root filesystem, wherever it is: mounted in a slot, or in memory.
//!
//! Layers stream into a [`RootSink`](crate::layer::RootSink). Rules read a [`tree::Tree`]; [`edit::Edit`] changes
//! single files; [`runnable::Runnable`] lets the programs run; [`walk::Walk`] visits all nodes in order.
//! [`mounted`] and [`memory`] implement all of these.

pub mod carry_over;
pub mod changes;
pub mod copy;
pub mod describe;
pub mod edit;
pub mod erofs;
pub mod lookups;
pub mod memory;
pub mod metadata;
pub mod mounted;
pub mod packed;
pub mod runnable;
pub mod tar_writer;
pub mod tree;
pub mod verity;
pub mod walk;
