//! Jumps from the running slot into another one: checked before, on trial after.

pub mod arrival;
pub mod kexec;
pub mod last_resort;
pub mod leftovers;
pub mod ram;
pub mod ready;
pub mod restart;
pub mod route;
pub mod watchdog;
