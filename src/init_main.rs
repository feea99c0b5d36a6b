//! `flipslot-init`, the `/init` of an initramfs that flipslot makes: see `flipslot::init`.

use flipslot::init;
use flipslot::init::kernel_log::{Level, log};
use std::process::ExitCode;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| log(Level::Error, &format!("this is an error in flipslot: {panic}"))));
    match init::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(Level::Error, &format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
