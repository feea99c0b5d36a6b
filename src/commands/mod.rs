//! One verb a file, each a story that reads straight down.

pub mod check;
pub mod check_health;
mod checked;
pub mod cleanup;
pub mod confirm;
pub mod consent;
pub mod create;
pub mod definition;
pub mod fill;
pub mod flash;
pub mod flash_wish;
pub mod hardware;
pub mod note_shutdown;
pub mod place;
pub mod prepare;
pub mod rollback;
mod say;
pub mod slot_wish;
pub mod status;
mod status_facts;
mod status_text;
pub mod switch;
pub mod watch_trial;
pub mod written;
