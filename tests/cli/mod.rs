//! The program from the outside: arguments in, exit code and sentences out, and what is left.

mod btrfs;
mod chamber;
mod corrupted;
mod flash;
mod flash_fails;
mod flash_refused;
mod hardware;
pub mod images;
mod leftovers;
mod memory;
mod old_disk;
mod older;
mod plan;
mod reference;
mod refusals;
mod registries;
mod registry;
mod registry_faults;
mod root_file;
mod signatures;
mod sources;
mod state;
mod switch;
mod unpack;
mod usage;
mod whole;
mod xfs;
