//! This process's environment.
#![allow(unsafe_code)]

/// Sets a variable. To be called while this process has one thread: others may be reading.
pub fn set(name: &str, value: &str) {
    // SAFETY: the callers run before any thread is started, as the documentation above asks.
    unsafe { std::env::set_var(name, value) }
}
