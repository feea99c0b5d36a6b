//! Edits of a root after its layers: the agent's files, fixes, files that are carried over.

use crate::error::Result;
use crate::layer::LayerPath;
use crate::layer::entry::Meta;
use crate::root::tree::{Last, Tree, What};
use std::io::Read;

/// A root whose single files can be put and removed.
///
/// Links in the directories of a path are followed inside the root. Directories that are missing are made
/// (mode 0755, owner root, time 1970), behind a link too. The last component is replaced and not followed; a
/// directory there is never replaced nor removed, which is an error. The directory around a file keeps its
/// time. An edit that fails leaves what was there, except for directories that it made.
pub trait Edit: Tree {
    /// Puts a regular file with all of `body` at `path`.
    fn put_file(&mut self, path: &LayerPath, meta: &Meta, body: &mut dyn Read) -> Result<()>;

    /// Puts a symbolic link to `target` (1 to 4095 bytes) at `path`: mode 0777, owner root, time 1970.
    fn put_symlink(&mut self, path: &LayerPath, target: &[u8]) -> Result<()>;

    /// Makes the directory `path`, or changes the metadata of the one that is there, which keeps its content.
    /// Unlike the other edits, follows a link at `path` itself, as files that are put below it do. Fails if
    /// something else is there.
    fn put_directory(&mut self, path: &LayerPath, meta: &Meta) -> Result<()>;

    /// Removes the file, link or node at `path`; finding nothing there is not an error.
    fn remove(&mut self, path: &LayerPath) -> Result<()>;

    /// Returns the metadata of the node at `path`, links followed, without an SELinux label, which belongs to
    /// the content that it was given to; `None` as in [`Tree::look`].
    fn meta(&self, path: &LayerPath) -> Result<Option<Meta>>;

    /// Puts `text` at `path`, with the metadata of the regular file that is there, links followed; else with
    /// mode 0644, owner root, time 1970.
    fn put_text(&mut self, path: &LayerPath, mut text: &[u8]) -> Result<()> {
        let found = self.look_at(path, Last::Follow)?;
        let known =
            if found.is_some_and(|found| matches!(found.what, What::File { .. })) { self.meta(path)? } else { None };
        let meta = known.unwrap_or_else(|| Meta { mode: 0o644, ..Meta::default() });
        self.put_file(path, &meta, &mut text)
    }
}
