//! A partition that may be formatted: made only by the modules that have refused what is in use (`target` for
//! a new disk, `claim` for a slot of an existing one).

use crate::mount::loop_device::Loop;

/// A partition with contents that may be destroyed, as a device.
pub struct Vacant {
    device: Loop,
    ground: Ground,
}

impl Vacant {
    pub(crate) fn new(device: Loop, ground: Ground) -> Vacant {
        Vacant { device, ground }
    }

    /// Returns the device, and what its bytes are now.
    pub fn take(self) -> (Loop, Ground) {
        (self.device, self.ground)
    }
}

/// The bytes of a partition before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// Zeros: a new file.
    Zeros,
    /// Anything, from an earlier use.
    Used,
}
