//! The system's settings for registries: registries.conf(5), with mirrors, blocked registries and short names; and
//! certificates by host (containers-certs.d(5)).

pub mod certificates;
pub mod conf;
pub mod endpoint;
mod short_name;
mod table;

pub use conf::Conf;
pub use endpoint::{Endpoint, Transport};
