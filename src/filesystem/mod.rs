//! Filesystems: made, written through a mount, read without leaving their root, and checked.

pub mod btrfs;
pub mod ext4;
pub mod fat;
pub mod feature_table;
pub mod features;
pub mod identity;
pub mod keep;
pub mod kept;
pub mod kind;
pub mod metadata;
pub mod mounted;
pub mod put;
pub mod remove;
pub mod root;
pub mod settle;
pub mod tree;
pub mod upper;
pub mod walk;
pub mod xfs;

pub use kept::KeptTree;
pub use kind::Filesystem;
pub use mounted::MountedRoot;
pub use root::Root;
pub use tree::Tree;
