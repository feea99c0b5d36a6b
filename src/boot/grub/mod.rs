//! GRUB on a disk: its configuration, the menu entries of slots, and its own programs.

pub mod config;
pub mod entry;
pub mod image;
pub mod quote;
