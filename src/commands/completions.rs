//! `flipslot completions`: prints what a shell completes.

use crate::cli::CompletionsArgs;
use crate::cli::manual::{completions, visible};
use crate::error::Result;
use crate::output::print::say;

/// Prints the script that the shell loads.
pub fn run(args: &CompletionsArgs) -> Result<()> {
    say(&completions(&visible(), args.shell))
}
