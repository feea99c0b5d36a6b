//! The verbs that systemd runs in a slot.

pub mod check_health;
pub mod note_shutdown;
pub mod run_configuration;
pub mod watch_trial;
