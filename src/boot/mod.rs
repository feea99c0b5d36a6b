//! Pure values of what boots, and of what boots next: command line, entry, record, state block, ledger.

pub mod cmdline;
pub mod configured;
pub mod entry;
pub mod grub;
pub mod initramfs_source;
pub mod ledger;
pub mod record;
pub mod recorded;
pub mod root_on;
pub mod run_source;
pub mod sealed;
pub mod slot_facts;
pub mod state;
pub mod trial;
