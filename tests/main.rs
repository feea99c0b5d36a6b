//! Everything that needs no VM. Most of it needs root, and says so instead of passing without.

// clippy.toml allows it in tests, but does not see that a helper of a test is one.
#![allow(clippy::unwrap_used)]

mod artifacts;
mod boot;
mod check;
mod cli;
mod clone;
mod disks;
mod filesystems;
mod fuzz;
mod hardware;
mod image;
mod layers;
mod netboot;
mod network;
mod promises;
mod rooms;
mod root;
mod support;
mod tables;
