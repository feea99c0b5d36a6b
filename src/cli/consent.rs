//! The flags of consent: what may be overwritten.

use clap::Args;

/// What may be overwritten.
#[derive(Debug, Args)]
pub struct ConsentArgs {
    /// Ask nothing: replace a disk file that exists; overwrite a disk that is
    /// not empty, which --expect-serial must name
    #[arg(long)]
    pub yes: bool,

    /// Refuse any other disk than the one with this serial number, as lsblk
    /// shows it; none, if it has none; may be repeated where disks are several
    #[arg(long, value_name = "SERIAL")]
    pub expect_serial: Vec<String>,

    /// Overwrite inactive members of these kinds, as blkid calls them:
    /// LVM2_member, linux_raid_member, crypto_LUKS, zfs_member, ...
    #[arg(long, value_name = "KIND,...")]
    pub destroy: Vec<String>,
}
