//! `clone` from the outside: disk files and loop devices as disks, and other programs as judges.

mod cut;
pub mod disks;
mod fails;
mod planned;
mod refused;
mod whole;
