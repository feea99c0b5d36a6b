//! The kernel's log, which the console shows.

use std::fs::File;
use std::io::Write;

/// Levels of the kernel's log (linux/kern_levels.h).
#[derive(Debug, Clone, Copy)]
pub enum Level {
    /// KERN_ERR, which a console shows with `quiet`, too.
    Error = 3,
    /// KERN_WARNING.
    Warning = 4,
    /// KERN_INFO.
    Info = 6,
}

/// Writes one sentence; an error to the console, too, where the log is closed to programs (printk.devkmsg=off).
pub fn log(level: Level, sentence: &str) {
    let sentence = sentence.replace('\n', " ");
    // A record of the log has at most 1024 bytes (kernel: PRINTKRB_RECORD_MAX), and one write makes one record.
    let sentence: String = sentence.chars().take(900).collect();
    let line = format!("<{}>flipslot: {sentence}\n", level as u8);
    let log = File::options().write(true).open("/dev/kmsg");
    let is_off = std::fs::read_to_string("/proc/sys/kernel/printk_devkmsg").is_ok_and(|state| state.trim() == "off");
    let written = log.and_then(|mut log| log.write_all(line.as_bytes()));
    if written.is_err() || (is_off && matches!(level, Level::Error)) {
        let _ = writeln!(std::io::stderr(), "flipslot: {sentence}");
    }
}
