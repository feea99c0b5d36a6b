//! What is read of sysfs: against captures of machines (`*.tree`, made by `capture.sh`), and
//! against trees that no kernel makes.

mod odd;
mod paths;
pub mod tree;
