//! Changes the environment of this process.
#![allow(unsafe_code)]

/// Sets a variable. Must be called while this process has only one thread: others could be reading.
pub fn set(name: &str, value: &str) {
    // SAFETY: the callers run before any thread is started, as the documentation above asks.
    unsafe { std::env::set_var(name, value) }
}
