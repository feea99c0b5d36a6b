//! Layers: verified bytes in, file operations out, in one streaming pass.

pub mod apply;
pub mod body;
pub mod entry;
pub mod path;
pub mod pax;
pub mod sink;
pub mod stream;
pub mod tar;

pub use apply::{Budget, apply};
pub use path::LayerPath;
pub use sink::RootSink;

/// The way on when a layer says what no tool that makes images says.
const REBUILD: &str = "rebuild the image; to see what the layer holds, list it: tar -tvf";
