//! A root filesystem in a mounted directory, which no path of an image leaves.

pub mod clamp_times;
pub mod directory;
pub mod put;
pub mod remove;
pub mod resolve_path;
mod show;
pub mod sink;
pub mod this_layer;
mod walk;
