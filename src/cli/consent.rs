//! The flags of consent: what may be overwritten.

use clap::Args;

/// The flags that say what may be overwritten.
#[derive(Debug, Args)]
pub struct ConsentArgs {
    /// Do not ask: replace an existing disk file; overwrite a disk that is not
    /// empty, which --expect-serial must name
    #[arg(long)]
    pub yes: bool,

    /// Refuse any disk but the one with this serial number, as lsblk shows it
    /// (`none` for a disk without one); may be repeated for several disks
    #[arg(long, value_name = "SERIAL")]
    pub expect_serial: Vec<String>,

    /// Overwrite inactive members of these kinds, as blkid names them:
    /// LVM2_member, linux_raid_member, crypto_LUKS, zfs_member, ...
    #[arg(long, value_name = "KIND,...")]
    pub destroy: Vec<String>,
}
