//! The run that a build belongs to, which every stage is given.

use crate::mount::scratch::Scratch;
use crate::progress::Progress;

/// A run of a command that builds roots.
#[derive(Clone, Copy)]
pub struct Session<'s> {
    /// Private mounts and small files.
    pub scratch: &'s Scratch,
    /// Steps and warnings, for people.
    pub progress: &'s Progress,
}
