//! Records what the current layer has written: whiteouts remove only what lower layers put there.
//!
//! Each name has the layer that put it there, and each directory the last layer that named it or wrote below
//! it. So two paths to one directory are one, as they are in a slot by inode numbers.

use crate::root::memory::nodes::{Id, Name, Nodes, Place};
use std::mem;

impl Nodes {
    /// Notes that this layer named a directory or wrote below it, and so below the directories above it.
    pub fn note_directory(&mut self, id: Id) {
        let (layer, mut id) = (self.layer, id);
        while let Some(directory) = self.directory_mut(id).filter(|directory| directory.written != layer) {
            directory.written = layer;
            id = directory.parent();
        }
    }

    /// Removes the node at a place, except what this layer wrote. It is not an error if nothing is there.
    pub fn whiteout(&mut self, place: Place) {
        let Some(name) = self.directory(place.directory).and_then(|directory| directory.names.get(place.name)) else {
            return;
        };
        let id = name.node;
        if !self.is_spared(name) {
            self.remove(place);
        } else if self.directory(id).is_some() {
            self.opaque(id);
        }
    }

    /// Removes what lower layers put into a directory. Repeating it costs nothing, so that many whiteouts of
    /// one large directory do not take for ever.
    pub fn opaque(&mut self, directory: Id) {
        let layer = self.layer;
        let (mut waiting, mut gone) = (vec![directory], Vec::new());
        while let Some(id) = waiting.pop() {
            let Some(directory) = self.directory_mut(id).filter(|directory| directory.cleared != layer) else {
                continue;
            };
            directory.cleared = layer;
            let mut names = mem::take(&mut directory.names);
            names.retain(|_, name| {
                let spared = self.is_spared(name);
                if spared {
                    waiting.push(name.node);
                } else {
                    gone.push(name.node);
                }
                spared
            });
            if let Some(directory) = self.directory_mut(id) {
                directory.names = names;
            }
        }
        self.empty(gone);
    }

    /// Returns whether whiteouts of this layer spare the node behind a name.
    fn is_spared(&self, name: &Name) -> bool {
        self.layer == self.directory(name.node).map_or(name.layer, |directory| directory.written)
    }
}
