//! One scenario a file.

mod boots;
mod fallback;
mod hardware;
mod kexec;
