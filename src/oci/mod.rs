//! OCI images: from a reference to verified manifests and the blobs of their layers.

pub mod archive;
pub mod cache;
pub mod credentials;
pub mod docker_archive;
pub mod document;
mod home;
pub mod image;
pub mod layout;
pub mod names;
pub mod platform;
pub mod reference;
pub mod registries;
pub mod registry;
pub mod signature;
pub mod source;
pub mod spent;
pub mod tar_index;
pub mod trust;

pub use image::{Image, resolve};
pub use platform::Platform;
pub use reference::Reference;
pub use registry::{Access, Caching};
