//! The program: reads the command line, runs one command, reports how it ended.

use flipslot::cli::parse::{Parsed, parse};
use flipslot::initramfs::carried::{Carried, carry};
use flipslot::words::printable::lines;
use flipslot::{commands, error};
use std::env;
use std::io::{Write, stderr};
use std::process::ExitCode;

/// The programs `flipslot-init`, compressed. If the compiler says that they are not there: `make build` builds all.
static CARRIED: Carried = Carried {
    disk: include_bytes!("../target/flipslot-init.zst"),
    net: include_bytes!("../target/flipslot-init-net.zst"),
};

fn main() -> ExitCode {
    carry(CARRIED);
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
