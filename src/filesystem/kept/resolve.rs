//! Finding a path among the nodes, one component at a time, as the kernel does it for a process whose
//! root is the slot's: links are followed inside it, `..` of the root is the root.

use crate::filesystem::kept::nodes::{Body, Id, Nodes, ROOT};
use crate::filesystem::walk::LINKS_MAX;
use crate::layer::LayerPath;
use crate::layer::path::NAME_MAX;
use rustix::io::{self, Errno};

/// A resolution on its way.
pub struct Walk {
    here: Id,
    /// The path that is left begins at byte `at` of this; all of it is done if `at` is beyond.
    path: Vec<u8>,
    at: usize,
    links: usize,
    /// Components that were looked at so far.
    pub steps: u64,
}

/// Where a resolution stands.
pub enum Step {
    /// At its end.
    Found(Id),
    /// Before a component that is not there.
    Missing {
        /// The directory that lacks it.
        directory: Id,
        /// The component.
        name: Vec<u8>,
    },
}

impl Walk {
    /// A resolution of `path`, which begins at the root.
    pub fn to(path: &LayerPath) -> Walk {
        Walk { here: ROOT, path: path.as_bytes().to_vec(), at: 0, links: 0, steps: 0 }
    }

    /// Goes to the end of the path, or to where something is missing; who makes that can go on.
    ///
    /// The errors are those of the kernel: `NOTDIR`, `NAMETOOLONG`, and `LOOP` after 40 links. A
    /// path that ends in `/` or `/.`, which only a link can say, leads to a directory or nowhere.
    pub fn go(&mut self, nodes: &Nodes) -> io::Result<Step> {
        while self.at <= self.path.len() {
            self.steps += 1;
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

    /// Puts a link's target before what is left from byte `after` on.
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
