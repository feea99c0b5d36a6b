//! The verbs of the program, one a file, each a story that reads straight down.

pub mod agent;
pub mod check;
pub mod cleanup;
pub mod clone;
pub mod completions;
pub mod confirm;
pub mod create;
pub mod flash;
pub mod hardware;
pub mod reference;
pub mod rollback;
pub mod status;
pub mod switch;
