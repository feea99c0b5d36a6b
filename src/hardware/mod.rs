//! Machines: what one needs to boot, read from sysfs, from a file, or from a built-in profile.

pub mod block;
pub mod choice;
pub mod inventory;
mod machine;
mod path;
pub mod profile;
mod survey;
pub mod sysfs;
pub mod this;

pub use choice::Choice;
pub use inventory::Inventory;
pub use profile::Profile;
pub use sysfs::Sysfs;
pub use this::this_machine;
