//! Judges from a slot's files, before anything boots, whether it would come up on a machine.
//!
//! [`table::RULES`] lists what is looked for. A rule looks at a [`subject::Subject`]: a slot's files, the
//! machine, the disk. What all rules find is a [`report::Report`].

pub mod disk_names;
pub mod fix;
pub mod initramfs_choice;
pub mod of_slot;
pub mod own_init;
pub mod partition_names;
pub mod policy;
pub mod report;
pub mod rule;
pub mod rules;
pub mod subject;
pub mod table;
pub mod units;
