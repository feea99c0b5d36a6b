//! flipslot puts OCI images on bare metal: one disk, several slots, one image per slot.
//!
//! Each folder is a room, and knowledge flows one way: a room uses only those above it in the list of
//! docs/design.md, which `tests/rooms/` enforces. [`commands`] has a file for each verb, [`forms`] says what an image
//! becomes, and [`build`] makes a root that boots from it.

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
pub mod unpack;
