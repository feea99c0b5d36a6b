//! `flipslot create --plan`: what was planned and looked at, and nothing else.

use crate::cli::{Cli, CreateArgs, Verb};
use crate::commands::create;
use crate::commands::plan::Plan;
use crate::error::{Result, refused};
use anyhow::Context;
use clap::Parser;
use std::env;
use std::path::Path;

/// Does what the plan in `file` says, if the disk and the images are still what they were. How it is shown
/// is as `args` say.
pub fn run(file: &Path, args: &CreateArgs) -> Result<()> {
    let plan = Plan::read(file)?;
    let how = plan.how()?;
    let words = ["flipslot", "create"].into_iter().chain(how.arguments.iter().map(String::as_str));
    let parsed = Cli::try_parse_from(words).map_err(|error| {
        let found = format!("the command line in {} cannot be read: {error}", file.display());
        refused(found, "make the plan anew: flipslot create ... --dry-run --json > plan.json")
    })?;
    let Verb::Create(mut planned) = parsed.verb else {
        return Err(refused("the plan is one of another command", "make one of create"));
    };
    env::set_current_dir(&how.folder).with_context(|| format!("entering {}", how.folder.display()))?;
    (planned.image.json, planned.image.progress) = (args.image.json, args.image.progress);
    create::make(&planned, Some(&plan))
}

/// The words of this command line that a plan is made of: without those that say how it is shown.
pub fn arguments() -> Vec<String> {
    let words = env::args_os().skip(2).map(|word| word.to_string_lossy().into_owned());
    let mut kept = Vec::new();
    let mut skip = false;
    for word in words {
        match word.as_str() {
            _ if skip => skip = false,
            "--dry-run" | "--json" => {}
            "--progress" => skip = true,
            word if word.starts_with("--progress=") => {}
            _ => kept.push(word),
        }
    }
    kept
}
