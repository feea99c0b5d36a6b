//! `flipslot create --plan`: carries out a plan that was reviewed, and nothing else.

use crate::cli::parse::{Parsed, parse};
use crate::cli::{CreateArgs, Verb};
use crate::disk::which::fingerprint::Fingerprint;
use crate::error::{Result, refused, usage};
use crate::hardware::Choice;
use crate::output::plan::{How, Plan};
use crate::words::digest::Digest;
use anyhow::Context;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// Reads the plan in `file` and the command line that it was made from. Refuses it if something that the
/// command line refers to has changed. How the run is shown comes from `args`. Enters the folder of the plan,
/// which relative paths start from.
pub fn read(file: &Path, args: &CreateArgs) -> Result<(CreateArgs, Plan)> {
    refuse_more_words()?;
    let plan = Plan::read(file)?;
    let how = plan.how()?;
    let words = ["flipslot", "create"].into_iter().chain(how.arguments.iter().map(String::as_str));
    // Values that are files are read while the command line is parsed.
    env::set_current_dir(&how.folder).with_context(|| format!("entering {}", how.folder.display()))?;
    let parsed = parse(words.map(OsString::from)).map_err(|error| {
        let found = format!("the command line in {} cannot be read: {error:#}", file.display());
        refused(found, "make a new plan: flipslot create ... --dry-run --json > plan.json")
    })?;
    let Parsed::Run(Verb::Create(mut planned)) = parsed else {
        return Err(refused("the plan is for another command", "make a plan with flipslot create"));
    };
    if inputs(&planned)? != how.inputs {
        let found =
            "what the planned command line refers to has changed: its config file, its inventory, or SOURCE_DATE_EPOCH";
        return Err(refused(found, "make a new plan, and review it: flipslot create --dry-run --json"));
    }
    (planned.image.fetch.json, planned.image.fetch.progress) = (args.image.fetch.json, args.image.fetch.progress);
    Ok((*planned, plan))
}

/// Returns the data with which the command line of this run is repeated.
pub fn how(args: &CreateArgs, fingerprint: Option<Fingerprint>) -> Result<How> {
    let folder = env::current_dir().context("asking for the current folder")?;
    Ok(How { arguments: arguments()?, folder, fingerprint, inputs: inputs(args)? })
}

/// Returns a digest of the files and the variable that the command line refers to.
fn inputs(args: &CreateArgs) -> Result<Digest> {
    let mut all = Vec::new();
    let inventory = match &args.image.hardware {
        Some(Choice::File(path)) => Some(path),
        _ => None,
    };
    for path in args.image.config.iter().chain(inventory) {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        all.extend(Digest::of(&bytes).to_string().bytes());
    }
    all.extend(env::var("SOURCE_DATE_EPOCH").unwrap_or_default().bytes());
    Ok(Digest::of(&all))
}

/// Refuses words beside `--plan`, except those that say how the run is shown: everything else is in the plan.
fn refuse_more_words() -> Result<()> {
    let words = arguments()?;
    let mut rest = words.iter().map(String::as_str).peekable();
    while let Some(word) = rest.next() {
        if word == "--plan" {
            rest.next();
        } else if !word.starts_with("--plan=") {
            let found =
                format!("'{}' cannot be used with --plan, which says everything that is done", word.escape_debug());
            return Err(usage(found, "omit it, or make another plan"));
        }
    }
    Ok(())
}

/// Returns the words of this command line that go into a plan: all but those that say how the run is shown.
fn arguments() -> Result<Vec<String>> {
    /// Flags whose value may begin with a hyphen.
    const TEXTS: [&str; 2] = ["--kargs", "--mkfs-options"];
    let mut kept: Vec<String> = Vec::new();
    let mut words = env::args_os().skip(2);
    while let Some(word) = words.next() {
        let word = word.into_string().map_err(|word| {
            usage(format!("{} is not UTF-8, which a plan must be", word.display()), "name files in UTF-8")
        })?;
        match word.as_str() {
            _ if kept.last().is_some_and(|last| TEXTS.contains(&last.as_str())) => kept.push(word),
            "--dry-run" | "--json" => {}
            "--progress" => drop(words.next()),
            text if text.starts_with("--progress=") => {}
            _ => kept.push(word),
        }
    }
    Ok(kept)
}
