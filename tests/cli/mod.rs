//! The program from the outside: arguments in, exit code and sentences out, and what is left.

mod chamber;
mod images;
mod leftovers;
mod memory;
mod refusals;
mod registry;
mod sources;
mod usage;
mod whole;
