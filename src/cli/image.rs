//! The flags of commands that look at images, or write them into slots.

use crate::boot::initramfs_source::Source;
use crate::boot::root_on::Keeps;
use crate::cli::value::value;
use crate::hardware::Choice;
use crate::progress::Style;
use clap::Args;
use std::path::PathBuf;

/// The flags of every command that looks at images.
#[derive(Debug, Args, Default)]
pub struct ImageArgs {
    /// Machine to boot on: this, qemu, generic, or a file that `flipslot
    /// hardware -o` wrote there [default: generic; for flash, that of the
    /// other slot]
    #[arg(long, value_name = "MACHINE", value_parser = value::<Choice>)]
    pub hardware: Option<Choice>,

    /// Source of the initramfs: the image's own if it fits the hardware, else
    /// dracut; or one of them
    #[arg(long, value_enum, value_name = "SOURCE")]
    pub initramfs: Option<Source>,

    /// Fix what these rules find, as the slot is written (docs/check.md)
    #[arg(long, value_name = "RULE,...")]
    pub fix: Vec<String>,

    /// Accept what these rules find
    #[arg(long, value_name = "RULE,...")]
    pub allow: Vec<String>,

    /// Root filesystem of the slots: ext4, xfs, btrfs, or SLOT=TYPE; may be
    /// repeated [default: ext4; for flash, that of the other slot]
    #[arg(long, value_name = "TYPE")]
    pub filesystem: Vec<String>,

    /// Words to add to the kernel command line
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    pub kargs: Option<String>,

    /// Console to log to and log in at, such as ttyS0; may be repeated
    #[arg(long, value_name = "TTY")]
    pub console: Vec<String>,

    /// Kernel to boot, if an image has several: VERSION or SLOT=VERSION
    #[arg(long, value_name = "VERSION")]
    pub kernel: Vec<String>,

    /// Read the definition of the disk, or of the netboot folder, from a TOML
    /// file; flags override it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Options for fetching images, and for what is printed
    #[command(flatten)]
    pub fetch: FetchArgs,
}

/// The flags of every command that fetches images.
#[derive(Debug, Args, Default)]
pub struct FetchArgs {
    /// Architecture to choose from an index [default: this machine's]
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,

    /// Registry (host:port) to reach without TLS; not needed for this machine
    #[arg(long, value_name = "HOST")]
    pub plain_http: Vec<String>,

    /// Token service (host:port) of a registry, to which its credentials may be
    /// sent; not needed where it is the registry's own host
    #[arg(long, value_name = "HOST")]
    pub auth_realm: Vec<String>,

    /// Certificate authority (PEM) of a registry, in addition to the system's
    #[arg(long, value_name = "FILE")]
    pub registry_ca: Vec<PathBuf>,

    /// File of registry credentials [default: Podman's, then Docker's]
    #[arg(long, value_name = "FILE")]
    pub authfile: Option<PathBuf>,

    /// Keep what is fetched from registries in this folder, and take it from
    /// there [default: for create, /var/cache/flipslot/blobs; else none]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,

    /// Fetch everything, and keep nothing
    #[arg(long, conflicts_with = "cache")]
    pub no_cache: bool,

    /// Refuse images that are not signed with this public key (PEM), such as
    /// cosign.pub; may be repeated: one of them is enough
    #[arg(long, value_name = "FILE")]
    pub verify_key: Vec<PathBuf>,

    /// Policy for signatures [default: containers/policy.json in ~/.config,
    /// else in /etc, if it is there]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,

    /// Style in which to show progress
    #[arg(long, value_enum, value_name = "STYLE", default_value = "auto")]
    pub progress: Style,

    /// Print the result as one JSON document
    #[arg(long)]
    pub json: bool,
}

/// The flags of every command that writes slots.
#[derive(Debug, Args, Default)]
pub struct WriteArgs {
    /// Words to add to the command line of mke2fs, mkfs.xfs or mkfs.btrfs
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    pub mkfs_options: Option<String>,

    /// Root as one file that is only read, instead of files: a slot that forgets
    /// what is written in it (docs/images.md)
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub root: Option<RootFormat>,

    /// Place of what is written over such a root [default: ram]
    #[arg(long, value_enum, value_name = "PLACE")]
    pub overlay: Option<Keeps>,

    /// Do not install the agent (health check, deadline) in the slot
    #[arg(long)]
    pub no_agent: bool,
}

/// Forms of a slot's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootFormat {
    /// Files that can be written, as in the image
    Files,
    /// One squashfs
    Squashfs,
    /// One EROFS
    Erofs,
}
