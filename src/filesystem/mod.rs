//! Filesystems: made, written through a mount, read without leaving them, and checked.

pub mod ext4;
pub mod fat;
pub mod keep;
pub mod kept;
pub mod metadata;
pub mod mounted;
pub mod put;
pub mod remove;
pub mod root;
pub mod tree;
pub mod upper;
pub mod walk;

pub use kept::KeptTree;
pub use mounted::MountedRoot;
pub use root::Root;
pub use tree::Tree;
