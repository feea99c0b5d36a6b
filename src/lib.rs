//! flipslot puts OCI images on bare metal: one disk, several slots, one image per slot.
//!
//! Each folder is a room, and knowledge flows one way: a room uses only those above it in the list of
//! docs/design.md, which `tests/rooms/` enforces. [`commands`] has a file for each verb, [`forms`] says what an image
//! becomes, and [`build`] makes a root that boots from it. [`init`] runs in an initramfs, in a program of its own that has
//! no other room than those without the feature `tool`.

pub mod error;
pub mod words;

#[cfg(feature = "fetch")]
#[cfg_attr(not(feature = "tool"), allow(dead_code))] // the init only writes an initramfs
pub mod archive;
#[cfg(feature = "tool")]
pub mod boot;
#[cfg(feature = "tool")]
pub mod build;
#[cfg(feature = "fetch")]
pub mod chamber;
#[cfg(feature = "tool")]
pub mod check;
#[cfg(feature = "tool")]
pub mod cli;
#[cfg(feature = "tool")]
pub mod clone;
#[cfg(feature = "tool")]
pub mod commands;
#[cfg(feature = "tool")]
pub mod configuration;
#[cfg(feature = "tool")]
pub mod disk;
#[cfg(feature = "tool")]
pub mod filesystem;
#[cfg(feature = "tool")]
pub mod forms;
#[cfg(feature = "fetch")]
#[cfg_attr(not(feature = "tool"), allow(dead_code))]
pub mod hardware;
pub mod init;
#[cfg(feature = "tool")]
pub mod initramfs;
#[cfg(feature = "tool")]
pub mod jump;
#[cfg(feature = "fetch")]
#[cfg_attr(not(feature = "tool"), allow(dead_code))]
pub mod kernel;
#[cfg(feature = "fetch")]
pub mod layer;
#[cfg(feature = "fetch")]
#[cfg_attr(not(feature = "tool"), allow(dead_code))] // disks are for the tool
pub mod mount;
#[cfg(feature = "net")]
pub mod network;
#[cfg(feature = "fetch")]
pub mod oci;
#[cfg(feature = "tool")]
pub mod output;
#[cfg(feature = "tool")]
pub mod progress;
#[cfg(feature = "tool")]
pub mod publish;
#[cfg(feature = "tool")]
pub mod request;
#[cfg(feature = "fetch")]
pub mod root;
#[cfg(feature = "tool")]
pub mod serve;
pub mod sys;
#[cfg(feature = "fetch")]
pub mod tool;
#[cfg(feature = "fetch")]
pub mod unpack;
