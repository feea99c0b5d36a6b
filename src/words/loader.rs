//! Boot loaders.

use clap::ValueEnum;

/// Boot loaders for machines that boot from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Loader {
    /// iPXE, by HTTP; also where the firmware has it
    Ipxe,
    /// PXELINUX, by TFTP, for BIOS
    Pxelinux,
    /// GRUB, by TFTP
    Grub,
}
