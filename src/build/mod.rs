//! From an image's layers to a root that boots: one file and one type per stage, each made from the one before it.
//!
//! [`filled::Filled`] (all layers are in the root) → [`inspected::Inspected`] (the rules found no error) →
//! [`bootable::Bootable`] (it has an initramfs and an entry). All of it is generic over the root; what becomes
//! of a bootable root is up to its form.

pub mod agent;
pub mod bootable;
pub mod filled;
pub mod inspected;
pub mod session;
