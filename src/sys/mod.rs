//! The only unsafe code: system calls that have no safe wrapper. Each number comes from the
//! kernel's own headers, through `linux-raw-sys` or `libc`.

pub mod block;
pub mod descriptors;
pub mod device_mapper;
pub mod environment;
pub mod fiemap;
pub mod kexec;
pub mod lease;
pub mod loop_device;
pub mod mapped;
pub mod namespace;
pub mod process;
pub mod swap;
pub mod watchdog;
