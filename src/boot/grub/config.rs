//! GRUB's static configuration: the numbered fragments of `grub/`, in order.

/// Content of `grub/grub.cfg` on the boot partition, the same on every disk.
pub const CONFIG: &str = concat!(
    include_str!("../../../grub/00-console.cfg"),
    include_str!("../../../grub/10-disk.cfg"),
    include_str!("../../../grub/20-state.cfg"),
    include_str!("../../../grub/30-menu.cfg"),
    include_str!("../../../grub/40-choice.cfg"),
);
