//! Layers: verified bytes in, file operations out, in one streaming pass.

pub mod acl;
pub mod apply;
pub mod body;
pub mod entry;
pub mod header;
pub mod path;
pub mod pax;
pub mod sink;
pub mod sparse;
pub mod stream;
pub mod tar;

pub use apply::{Budget, apply};
pub use path::LayerPath;
pub use sink::RootSink;

/// The hint for a layer with content that no tool for making images writes.
const REBUILD: &str = "rebuild the image; to see what the layer holds, list it: tar -tvf";
