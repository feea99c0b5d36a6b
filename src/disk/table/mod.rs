//! Partition tables, GPT and MBR: read, made, and made anew for a copy.

pub mod golden;
pub mod gpt;
pub mod gpt_copy;
pub mod mbr;
pub mod mbr_copy;
pub mod read;
