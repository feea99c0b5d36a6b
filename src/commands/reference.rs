//! `flipslot reference` (hidden): docs/cli.md and the man pages, for `make docs` and `make install`.

use crate::cli::ReferenceArgs;
use crate::cli::manual::{man_pages, markdown, visible};
use crate::error::Result;
use crate::output::print::say;
use anyhow::Context;
use std::fs;

/// Prints the markdown, or writes the man pages into a directory, which it creates.
pub fn run(args: &ReferenceArgs) -> Result<()> {
    let Some(directory) = &args.man else { return say(&markdown(&visible())) };
    fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    for page in man_pages(&visible())? {
        let path = directory.join(page.file_name);
        fs::write(&path, page.roff).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
