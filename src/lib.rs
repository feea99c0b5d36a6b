//! flipslot puts OCI images on bare metal: one disk, several slots, one image per slot.
//!
//! The folders follow the flow of the main job, and knowledge flows one way through them:
//! [`oci`] (reference to layers) → [`layer`] (bytes to entries) → [`filesystem`] (entries to a
//! slot) → [`hardware`] (what a machine needs) → [`boot`] (kernel, initramfs, GRUB) → [`disk`] →
//! [`jump`] (into another slot); [`commands`] holds the steps of each verb.

pub mod artifact;
pub mod boot;
pub mod check;
pub mod cli;
pub mod clone;
pub mod commands;
pub mod config;
pub mod digest;
pub mod disk;
pub mod error;
pub mod filesystem;
pub mod hardware;
pub mod jump;
pub mod layer;
pub mod oci;
pub mod origin;
pub mod partuuid;
pub mod progress;
pub mod slot;
pub mod sys;
pub mod tool;
pub mod units;
