//! Fetches an image before there is a system: finds a network card, gives it an address, and downloads. All that
//! strangers send is read by processes behind walls; this one sees what they make of it, and counts the bytes.

pub mod addresses;
pub mod cards;
pub mod child;
pub mod dhcp;
pub mod fetch;
pub mod lease;
pub mod links;
pub mod reverse;
pub mod settings;
pub mod walls;
pub mod wanted;
