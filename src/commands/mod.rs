//! One verb a file, each a story that reads straight down.

pub mod create;
pub mod created;
pub mod definition;
pub mod fill;
