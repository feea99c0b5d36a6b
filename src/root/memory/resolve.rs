//! Finds a path among the nodes, one component at a time, as the kernel does for a process whose root is the
//! slot's: links are followed inside it, `..` of the root is the root.

use crate::layer::LayerPath;
use crate::layer::path::NAME_MAX;
use crate::root::memory::nodes::{Body, Id, Nodes, ROOT};
use crate::root::mounted::resolve_path::LINKS_MAX;
use rustix::io::{self, Errno};

/// A resolution in progress.
pub struct Resolution {
    here: Id,
    /// Path whose rest, from byte `at` on, is still to be resolved; none is left if `at` is past its end.
    path: Vec<u8>,
    at: usize,
    links: usize,
    /// Number of components behind links that were looked at so far.
    pub steps: u64,
}

/// The state of a resolution.
pub enum Step {
    /// At its end, the node of the path.
    Found(Id),
    /// Before a component that does not exist.
    Missing {
        /// Directory that lacks the component.
        directory: Id,
        /// Name of the component.
        name: Vec<u8>,
    },
}

impl Resolution {
    /// Begins a resolution of `path` at the root.
    pub fn of(path: &LayerPath) -> Resolution {
        Resolution { here: ROOT, path: path.as_bytes().to_vec(), at: 0, links: 0, steps: 0 }
    }

    /// Goes to the end of the path, or to where something is missing; after making that, the caller can go
    /// on.
    ///
    /// The errors are those of the kernel: `NOTDIR`, `NAMETOOLONG`, and `LOOP` after 40 links. A path that
    /// ends in `/` or `/.`, which only a link can contain, leads to a directory or nowhere.
    pub fn go(&mut self, nodes: &Nodes) -> io::Result<Step> {
        while self.at <= self.path.len() {
            self.steps += u64::from(self.links > 0);
            let left = &self.path[self.at..];
            let name = left.split(|byte| *byte == b'/').next().unwrap_or_default();
            let after = self.at + name.len() + 1;
            let directory = nodes.directory(self.here).ok_or(Errno::NOTDIR)?;
            match name {
                b"" | b"." => {}
                b".." => self.here = directory.parent(),
                _ if name.len() > NAME_MAX => return Err(Errno::NAMETOOLONG),
                _ => {
                    let Some(id) = directory.get(name) else {
                        return Ok(Step::Missing { directory: self.here, name: name.to_vec() });
                    };
                    if let Body::Symlink { target } = &nodes.get(id).body {
                        self.follow(target, after)?;
                        continue;
                    }
                    self.here = id;
                }
            }
            self.at = after;
        }
        Ok(Step::Found(self.here))
    }

    /// Puts a link's target before the rest of the path, which begins at byte `after`.
    fn follow(&mut self, target: &[u8], after: usize) -> io::Result<()> {
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(Errno::LOOP);
        }
        if target.starts_with(b"/") {
            self.here = ROOT;
        }
        self.path = match self.path.get(after..) {
            Some(left) => [target, b"/", left].concat(),
            None => target.to_vec(),
        };
        self.at = 0;
        Ok(())
    }
}
