//! Sentences of the init, in the kernel's log, which the console shows.

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

/// Says one sentence. Without /dev/kmsg it goes to the console.
pub fn say(level: Level, sentence: &str) {
    let sentence = sentence.replace('\n', " ");
    // A record of the log has at most 1024 bytes (kernel: PRINTKRB_RECORD_MAX), and one write makes one record.
    let sentence: String = sentence.chars().take(900).collect();
    let line = format!("<{}>flipslot: {sentence}\n", level as u8);
    let log = File::options().write(true).open("/dev/kmsg");
    if log.and_then(|mut log| log.write_all(line.as_bytes())).is_err() {
        let _ = writeln!(std::io::stderr(), "flipslot: {sentence}");
    }
}
