//! `flipslot hardware`: prints what this machine needs to boot, as JSON.

use crate::cli::HardwareArgs;
use crate::error::{Result, refused};
use crate::hardware::this_machine;
use crate::output::print::say;
use anyhow::Context;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// Prints the inventory of this machine, or writes it to a file.
pub fn run(args: &HardwareArgs) -> Result<()> {
    let text = this_machine(args.disk.as_deref())?.to_json()?;
    match &args.output {
        None => say(&text),
        Some(path) => write(path, &text).with_context(|| format!("writing {}", path.display())),
    }
}

/// Writes `text` to `path`: if that fails, the previous file stays.
fn write(path: &Path, text: &str) -> Result<()> {
    // A device or a pipe would be replaced by a file.
    if path.exists() && !path.is_file() {
        return Err(refused(format!("{} is not a file", path.display()), "name a file, or omit -o for stdout"));
    }
    let path = if path.exists() { fs::canonicalize(path)? } else { path.to_owned() }; // a link stays one
    let mut name = path.file_name().context("the path has no file name")?.to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = path.with_file_name(name);
    let written = write_new(&new, text).and_then(|()| Ok(fs::rename(&new, &path)?));
    if written.is_err() {
        let _ = fs::remove_file(&new); // it may not even be there
    }
    written
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(text.as_bytes())?;
    Ok(file.sync_all()?)
}
