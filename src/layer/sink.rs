//! The interface between an archive's entries and the filesystem that they are written to.

use crate::error::Result;
use crate::layer::entry::{Meta, Node};
use crate::layer::path::LayerPath;
use std::io::BufRead;

/// Takes the entries of one layer after another and makes one root filesystem of them.
///
/// Every call replaces whatever is at its path, except that a directory over a directory keeps its
/// content. Missing parents are made (mode 0755, owner root, time 1970). Every error names its cause; the
/// caller adds layer and path.
pub trait RootSink {
    /// Begins a new layer: from here on, whiteouts spare what this layer writes.
    fn begin_layer(&mut self) -> Result<()>;
    /// Makes a directory with exactly this metadata.
    fn directory(&mut self, path: &LayerPath, meta: &Meta) -> Result<()>;
    /// Writes a regular file with all of `body`.
    fn file(&mut self, path: &LayerPath, meta: &Meta, body: &mut dyn BufRead) -> Result<()>;
    /// Makes a symbolic link with `target` as written.
    fn symlink(&mut self, path: &LayerPath, meta: &Meta, target: &[u8]) -> Result<()>;
    /// Adds a name for the file at `target`, which is not followed if it is a link itself.
    fn hardlink(&mut self, path: &LayerPath, target: &LayerPath) -> Result<()>;
    /// Makes a device node or FIFO.
    fn node(&mut self, path: &LayerPath, meta: &Meta, node: Node) -> Result<()>;
    /// Removes what lower layers put at `path`; finding nothing there is not an error.
    fn whiteout(&mut self, path: &LayerPath) -> Result<()>;
    /// Removes what lower layers put into the directory `path`.
    fn opaque(&mut self, path: &LayerPath) -> Result<()>;
    /// Finishes after the last layer: sets what could only be set last.
    fn finish(&mut self) -> Result<()>;
}
