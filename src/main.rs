//! The program: reads the command line, runs one command, reports how it ended.

use flipslot::cli::parse::{Parsed, parse};
use flipslot::initramfs::carried;
use flipslot::words::printable::lines;
use flipslot::{commands, error};
use std::env;
use std::io::{Write, stderr};
use std::process::ExitCode;

/// The program `flipslot-init`, compressed. If the compiler says that it is not there: `make build` builds both.
static FLIPSLOT_INIT: &[u8] = include_bytes!("../target/flipslot-init.zst");

fn main() -> ExitCode {
    carried::carry(FLIPSLOT_INIT);
    let result = parse(env::args_os()).and_then(|parsed| match parsed {
        Parsed::Run(verb) => commands::run(verb),
        Parsed::Show(help) => {
            let _ = help.print(); // a closed pipe is not an error
            Ok(())
        }
    });
    let Err(problem) = result else { return ExitCode::SUCCESS };
    // A closed stderr must not turn an error into a panic.
    let _ = writeln!(stderr(), "flipslot: {}", lines(&format!("{problem:#}")));
    if let Some(hint) = error::hint(&problem) {
        let _ = writeln!(stderr(), "  next: {}", lines(hint));
    }
    ExitCode::from(error::kind(&problem).exit_code())
}
