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
