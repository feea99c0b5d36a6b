//! Unpacks layers by a process of its own, behind walls: what decompresses and parses the bytes of strangers reaches
//! the slot that it fills, and nothing else. The process that has the network, the credentials and the disk reads no
//! archive.

mod calls;
mod child;
mod frames;
mod outcome;
mod parent;
mod task;
mod walls;

pub use child::run as run_child;
pub use frames::Sender;
pub use parent::{VERB, refuse_unable, run};
pub use task::{At, LayerTask, Task};
