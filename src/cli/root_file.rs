//! The flags of `image`.

use crate::cli::FetchArgs;
use crate::root::packed::{Compression, Format};
use clap::Args;
use std::path::PathBuf;

/// The text at the end of `image --help`.
pub const ROOT_FILE_HELP: &str = "\
The file holds exactly the tree of the image, so that it has one digest wherever
it boots. Needs neither root nor a mount. OUT.json beside it says what it is
(docs/image.md). A squashfs, and a compressed EROFS, are written by a program
of this machine; an EROFS without compression by flipslot.

Exit codes: 0 done, 1 failed, 2 usage error, 3 refused, nothing written.

Example:
  flipslot image debian.squashfs docker://127.0.0.1:5000/os/debian:12";

/// The flags of `image`.
#[derive(Debug, Args)]
pub struct RootFileArgs {
    /// File to make
    pub out: PathBuf,

    /// Image to write, such as docker://host/name:tag (see `create --help`)
    pub reference: String,

    /// Filesystem of the file
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "squashfs")]
    pub format: Format,

    /// Compression of the file [default: zstd for squashfs, none for erofs]
    #[arg(long, value_enum, value_name = "METHOD")]
    pub compress: Option<Compression>,

    /// Replace the file, and OUT.json, if they are there
    #[arg(long)]
    pub yes: bool,

    /// Options for fetching the image
    #[command(flatten)]
    pub fetch: FetchArgs,
}
