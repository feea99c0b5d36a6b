//! One scenario a file.

pub mod boots;
mod checked;
mod clone;
mod fallback;
mod firmware;
mod flash;
mod hardware;
mod kexec;
mod matrix;
mod refused;
mod state;
mod ten;
mod traps;
mod trials;
mod xfs;
