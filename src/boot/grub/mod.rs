//! GRUB's view of a slot, as text: its static configuration and the menu entry.

pub mod config;
pub mod menu_entry;
pub mod quote;
