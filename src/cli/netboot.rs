//! The flags of `netboot`.

use crate::boot::root_on::LiveFormat;
use crate::cli::ImageArgs;
use crate::words::loader::Loader;
use clap::Args;
use std::path::PathBuf;

/// The text at the end of `netboot --help`.
pub const NETBOOT_HELP: &str = "\
FOLDER holds static files, for any server of HTTP and TFTP: images, one folder
for each host, boot loaders, and a configuration for dnsmasq. A host boots its
image from RAM: its initramfs fetches it, once, and compares its digest. A
restart is the image again. What a host boots changes in one step, last; the
image before it stays (docs/netboot.md).

Exit codes: 0 done, 1 failed, 2 usage error, 3 refused: no host was changed.

Example:
  flipslot netboot /srv/boot --url http://10.0.0.1/boot \\
      --image web=docker://127.0.0.1:5000/os/web:12 \\
      --host rack1=web,mac=52:54:00:12:34:56";

/// The flags of `netboot`.
#[derive(Debug, Args)]
pub struct NetbootArgs {
    /// Folder to write; made if it is not there
    pub folder: PathBuf,

    /// Address at which machines reach the folder: http://SERVER/PATH; required
    /// here, or as `url` in --config
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,

    /// Image for hosts, as NAME=REFERENCE; may be repeated
    #[arg(long = "image", value_name = "NAME=REF")]
    pub images: Vec<String>,

    /// Host, as NAME=IMAGE,mac=MAC or NAME=IMAGE,uuid=UUID; may be repeated. With
    /// layer=REF, the image REF, whose first layers are those of IMAGE, lays its
    /// other files over it for this host
    #[arg(long = "host", value_name = "NAME=IMAGE,…")]
    pub hosts: Vec<String>,

    /// Go back to the image that a host booted before
    #[arg(long, value_name = "HOST", conflicts_with_all = ["images", "hosts"])]
    pub rollback: Option<String>,

    /// Let a host boot what was last written under its image's name: a run with
    /// --image alone changes no host
    #[arg(long, value_name = "HOST", conflicts_with_all = ["images", "hosts", "rollback"])]
    pub promote: Option<String>,

    /// Format in which machines get the images [default: squashfs]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<LiveFormat>,

    /// Boot loaders to hand out: the first that fits a machine's firmware
    /// [default: ipxe]
    #[arg(long, value_enum, value_name = "LOADER", value_delimiter = ',')]
    pub loader: Vec<Loader>,

    /// Put the image into the initramfs, so that a machine needs no network card
    /// that Linux drives, but twice the memory
    #[arg(long)]
    pub embed: bool,

    /// Let machines boot what the image's tag names when they start, if a --verify-key
    /// has signed it and it is not older than the one now (--format unpacked)
    #[arg(long)]
    pub follow_tag: bool,

    /// File with the login of machines at their registry, on a disk of their own:
    /// PARTLABEL=data/flipslot/auth.json (--format unpacked)
    #[arg(long, value_name = "DEVICE/PATH")]
    pub auth_on: Option<String>,

    /// Leave flipslot's own program and units out of the booted system
    #[arg(long)]
    pub no_agent: bool,

    /// Number of images to keep that are neither the current nor the previous one
    /// of any host [default: 2]
    #[arg(long, value_name = "N")]
    pub keep: Option<usize>,

    /// Options for the images and how they boot
    #[command(flatten)]
    pub boot: ImageArgs,
}
