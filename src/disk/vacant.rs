//! A partition that may be formatted: made only by the rooms that have refused what is in use
//! (`target` for a new disk, `claim` for a slot of one that runs).

use crate::disk::loops::Loop;
use crate::filesystem::kind::Ground;

/// A partition whose bytes nobody needs, as a device.
pub struct Vacant {
    device: Loop,
    ground: Ground,
}

impl Vacant {
    pub(super) fn new(device: Loop, ground: Ground) -> Vacant {
        Vacant { device, ground }
    }

    /// The device, and what is on it now.
    pub fn take(self) -> (Loop, Ground) {
        (self.device, self.ground)
    }
}
