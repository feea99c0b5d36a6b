//! The program from the outside: arguments in, exit code and sentences out, and what is left.

mod btrfs;
mod chamber;
mod flash;
mod flash_fails;
mod flash_refused;
mod hardware;
pub mod images;
mod leftovers;
mod memory;
mod old_disk;
mod plan;
mod reference;
mod refusals;
mod registry;
mod registry_faults;
mod sources;
mod state;
mod switch;
mod usage;
mod whole;
mod xfs;
