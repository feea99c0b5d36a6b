//! Real disks: which are refused, what is shown of them, and what is left on those that are written.
//! Loop devices stand for them, or memory; what this machine's kernel cannot have stands in trees of sysfs.

mod consent;
mod effects;
mod holders;
mod identity;
mod lab;
mod refused;
mod signatures;
mod wiped;
