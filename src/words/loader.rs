//! Boot loaders.

use clap::ValueEnum;
use serde::Deserialize;

/// Boot loaders for machines that boot from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loader {
    /// iPXE, by HTTP; also where the firmware has it
    Ipxe,
    /// PXELINUX, by TFTP, for BIOS
    Pxelinux,
    /// GRUB, by TFTP
    Grub,
}
