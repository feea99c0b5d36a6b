//! One scenario a file.

mod boots;
mod fallback;
mod firmware;
mod flash;
mod hardware;
mod kexec;
mod refused;
mod state;
mod ten;
mod trials;
mod xfs;
