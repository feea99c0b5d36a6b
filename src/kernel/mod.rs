//! The kernels of an image: which there are, what they can drive, and what they need for it.

pub mod drivers;
pub mod elf;
pub mod find;
pub mod module_file;
pub mod modules;
pub mod release;
pub mod requirements;
