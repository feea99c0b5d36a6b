//! The program: reads the command line, runs one command, reports how it ended.

use clap::Parser;
use flipslot::cli::{Cli, Verb};
use flipslot::{chamber, commands, error};
use std::io::{Write, stderr};
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Create(args) => commands::create::run(&args),
        Verb::Flash(args) => commands::flash::run(&args),
        Verb::Clone(args) => commands::clone::run(&args),
        Verb::Check(args) => commands::check::run(&args),
        Verb::Switch(args) => commands::switch::run(&args),
        Verb::Confirm(args) => commands::confirm::run(&args),
        Verb::Rollback(args) => commands::rollback::run(&args),
        Verb::Status(args) => commands::status::run(&args),
        Verb::Hardware(args) => commands::hardware::run(&args),
        Verb::Cleanup(args) => commands::cleanup::run(&args),
        Verb::Completions(args) => commands::completions::run(&args),
        Verb::Reference(args) => commands::reference::run(&args),
        Verb::WatchTrial => commands::agent::watch_trial::run(),
        Verb::CheckHealth => commands::agent::check_health::run(),
        Verb::NoteShutdown(args) => commands::agent::note_shutdown::run(&args),
        Verb::EnterChamber(args) => chamber::enter(&args.place, &args.program, &args.arguments),
    };
    let Err(problem) = result else { return ExitCode::SUCCESS };
    // A closed stderr must not turn an error into a panic.
    let _ = writeln!(stderr(), "flipslot: {problem:#}");
    if let Some(hint) = error::hint(&problem) {
        let _ = writeln!(stderr(), "  next: {hint}");
    }
    ExitCode::from(error::kind(&problem).exit_code())
}
