//! Partition tables, GPT and MBR: read, and rendered again for a copy. A new disk's are in `disk/new`.

pub mod described;
pub mod golden;
pub mod gpt;
pub mod gpt_copy;
pub mod ids;
pub mod mbr;
pub mod mbr_copy;
pub mod mbr_sector;
pub mod partitions;
pub mod read;
