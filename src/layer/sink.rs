//! What layers are written to: the seam between an archive's entries and a filesystem.

use crate::error::Result;
use crate::layer::entry::{Meta, Node};
use crate::layer::path::LayerPath;
use std::io::BufRead;

/// Takes the entries of one layer after the other and makes one root filesystem of them.
///
/// Every call replaces what stands at its path, except that a directory over a directory keeps
/// what is in it. Missing parents are made (mode 0755, root, 1970). Every error names its cause;
/// the caller adds layer and path.
pub trait RootSink {
    /// A new layer begins: whiteouts from here on spare what this layer writes.
    fn begin_layer(&mut self) -> Result<()>;
    /// A directory, with exactly this metadata.
    fn directory(&mut self, path: &LayerPath, meta: &Meta) -> Result<()>;
    /// A regular file with all of `body`.
    fn file(&mut self, path: &LayerPath, meta: &Meta, body: &mut dyn BufRead) -> Result<()>;
    /// A symbolic link that says `target`.
    fn symlink(&mut self, path: &LayerPath, meta: &Meta, target: &[u8]) -> Result<()>;
    /// One more name for what stands at `target`, which is not followed if it is a link itself.
    fn hardlink(&mut self, path: &LayerPath, target: &LayerPath) -> Result<()>;
    /// A device node or FIFO.
    fn node(&mut self, path: &LayerPath, meta: &Meta, node: Node) -> Result<()>;
    /// Removes what lower layers put at `path`; nothing there is no error.
    fn whiteout(&mut self, path: &LayerPath) -> Result<()>;
    /// Removes what lower layers put into the directory `path`.
    fn opaque(&mut self, path: &LayerPath) -> Result<()>;
    /// All layers are written: sets what could only be set last.
    fn finish(&mut self) -> Result<()>;
}
