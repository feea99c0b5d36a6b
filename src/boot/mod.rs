//! What boots, and what boots next, as pure values: command line, entry, record, state block, ledger.

pub mod cmdline;
pub mod entry;
pub mod grub;
pub mod ledger;
pub mod record;
pub mod state;
pub mod trial;
