//! A console for people, only where the command line asks for one: `rd.break`, `rd.shell`. There is no other program in
//! the initramfs than this one.

use crate::init::devices;
use crate::init::root::PLACE;
use rustix::process::{chdir, chroot};
use rustix::system::{RebootCommand, reboot};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// First argument with which the init becomes a shell of the root.
pub const SHELL: &str = "shell";
/// Commands, with what they do.
const HELP: &str = "\
continue   go on with the boot; after a failure, try again if the root was not entered yet
devices    the block devices that are there, with their sizes
modules    the modules that are loaded
shell      a shell of the root, if that is mounted
reset      restart the machine
";

/// Asks at the console until it is told to go on. Returns false if there is none.
pub fn ask(why: &str) -> bool {
    let Ok(console) = File::options().read(true).write(true).open("/dev/console") else { return false };
    let Ok(mut out) = console.try_clone() else { return false };
    let _ = write!(out, "\nflipslot: {why}\n{HELP}");
    let mut lines = BufReader::new(console).lines();
    loop {
        let _ = write!(out, "flipslot> ");
        let _ = out.flush();
        let Some(Ok(line)) = lines.next() else { return false };
        match line.trim() {
            "continue" => return true,
            "devices" => devices::names().iter().for_each(|name| {
                // The kernel counts in units of 512 bytes, whatever the disk has (kernel: ABI/stable/sysfs-block).
                let size = fs::read_to_string(format!("/sys/class/block/{name}/size")).unwrap_or_default();
                let mebibytes = size.trim().parse::<u64>().unwrap_or(0) / 2048;
                let _ = writeln!(out, "{name:<16} {mebibytes:>10} MiB");
            }),
            "modules" => drop(out.write_all(&fs::read("/proc/modules").unwrap_or_default())),
            "shell" => {
                let _ = writeln!(out, "{}", shell());
            }
            "reset" => drop(reboot(RebootCommand::Restart)),
            "" => {}
            _ => drop(out.write_all(HELP.as_bytes())),
        }
    }
}

/// Runs the root's shell until it ends; returns how that was.
#[allow(clippy::disallowed_methods)] // nothing else runs here that a program could inherit from
fn shell() -> String {
    Command::new("/proc/self/exe").arg(SHELL).status().map_or_else(|error| error.to_string(), |ended| ended.to_string())
}

/// Becomes the root's shell; returns why that failed.
#[allow(clippy::disallowed_methods)] // it becomes that program
pub fn become_shell() -> std::io::Error {
    // Where the root was entered already, it is this process's root, too.
    let entered = if std::path::Path::new(PLACE).is_dir() { chroot(PLACE) } else { Ok(()) };
    match entered.and_then(|()| chdir("/")) {
        Ok(()) => Command::new("/bin/sh").exec(),
        Err(errno) => errno.into(),
    }
}
