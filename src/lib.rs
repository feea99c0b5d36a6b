//! flipslot puts OCI images on bare metal: one disk, several slots, one image a slot.
//!
//! Each folder is a room, and knowledge flows one way through them, from the last of these lines to the
//! first: what a room uses is named before it. `tests/rooms.rs` holds that order.

pub mod error;
pub mod words;

pub mod boot;
pub mod build;
pub mod chamber;
pub mod check;
pub mod cli;
pub mod clone;
pub mod commands;
pub mod disk;
pub mod filesystem;
pub mod forms;
pub mod hardware;
pub mod initramfs;
pub mod jump;
pub mod kernel;
pub mod layer;
pub mod mount;
pub mod oci;
pub mod output;
pub mod progress;
pub mod publish;
pub mod request;
pub mod root;
pub mod sys;
pub mod tool;
