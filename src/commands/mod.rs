//! The verbs of the program, one per file; each reads from top to bottom.

pub mod agent;
pub mod check;
pub mod cleanup;
pub mod clone;
pub mod completions;
pub mod confirm;
pub mod create;
pub mod flash;
pub mod hardware;
pub mod image;
pub mod netboot;
pub mod reference;
pub mod reset;
pub mod rollback;
pub mod serve;
pub mod status;
pub mod switch;
pub mod switch_ram;

use crate::chamber;
use crate::cli::Verb;
use crate::error::Result;
use crate::unpack;

/// Runs the command that a command line asks for.
pub fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Create(args) => create::run(&args),
        Verb::Flash(args) => flash::run(&args),
        Verb::Clone(args) => clone::run(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Image(args) => image::run(&args),
        Verb::Netboot(args) => netboot::run(&args),
        Verb::Serve(args) => serve::run(&args),
        Verb::Switch(args) => switch::run(&args),
        Verb::Confirm(args) => confirm::run(&args),
        Verb::Rollback(args) => rollback::run(&args),
        Verb::Reset(args) => reset::run(&args),
        Verb::Status(args) => status::run(&args),
        Verb::Hardware(args) => hardware::run(&args),
        Verb::Cleanup(args) => cleanup::run(&args),
        Verb::Completions(args) => completions::run(&args),
        Verb::Reference(args) => reference::run(&args),
        Verb::WatchTrial => agent::watch_trial::run(),
        Verb::CheckHealth => agent::check_health::run(),
        Verb::RunConfiguration => agent::run_configuration::run(),
        Verb::NoteShutdown(args) => agent::note_shutdown::run(&args),
        Verb::EnterChamber(args) => chamber::enter(&args.walls, &args.program, &args.arguments),
        Verb::UnpackLayers(args) => unpack::run_child(&args.task),
    }
}
