//! GRUB: the entry of a slot as text, and GRUB's own programs as bytes.

pub mod config;
pub mod entry;
pub mod image;
pub mod quote;
