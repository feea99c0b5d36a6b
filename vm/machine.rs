//! A QEMU machine with a deadline: wait for text on its serial port, type, kill; its log stays.

use crate::setup::{Setup, Writes};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// No step of any scenario takes longer, even without KVM on a machine that has other work for ten. A
/// scenario that passes never waits for it.
pub const PATIENCE: Duration = Duration::from_secs(900);

/// A machine that runs.
pub struct Machine {
    qemu: Child,
    keyboard: ChildStdin,
    serial: Arc<Mutex<Vec<u8>>>,
    log: PathBuf,
    /// Up to where the log was waited for.
    seen: usize,
}

impl Machine {
    /// Starts a machine.
    pub fn start(setup: &Setup) -> Machine {
        let log = log(setup.name);
        fs::create_dir_all(log.parent().expect("it is in a folder")).expect("the folder of the logs can be made");
        let mut qemu = setup.command().spawn().expect("qemu-system-x86_64 can be started");
        let keyboard = qemu.stdin.take().expect("stdin was piped");
        let output = qemu.stdout.take().expect("stdout was piped");
        let serial = Arc::new(Mutex::new(Vec::new()));
        // A machine that is started again appends to the same log.
        let mut options = File::options();
        options.create(true).append(true);
        if setup.writes == Writes::Discarded {
            let _ = fs::remove_file(&log);
        }
        let file = options.open(&log).expect("the log can be made");
        record(output, Arc::clone(&serial), file);
        Machine { qemu, keyboard, serial, log, seen: 0 }
    }

    /// Waits until one of `texts` appears after what was waited for before; returns which.
    pub fn wait_for_any(&mut self, step: &str, texts: &[&str]) -> usize {
        let begin = Instant::now();
        loop {
            let log = plain(&self.serial.lock().unwrap_or_else(PoisonError::into_inner));
            let new = &log[self.seen.min(log.len())..];
            let found = texts.iter().enumerate().filter_map(|(i, text)| Some((new.find(text)?, i))).min();
            if let Some((start, which)) = found {
                self.seen += start + texts[which].len();
                return which;
            }
            let ended = self.qemu.try_wait().ok().flatten();
            if ended.is_some() || begin.elapsed() > PATIENCE {
                let why = ended.map_or("the time was up".to_owned(), |status| format!("QEMU ended: {status}"));
                let tail: Vec<&str> = log.lines().rev().take(25).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                panic!("step '{step}': waiting for {texts:?}, {why}; log: {}\n{}", self.log.display(), tail.join("\n"));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until `text` appears.
    pub fn wait_for(&mut self, step: &str, text: &str) {
        self.wait_for_any(step, &[text]);
    }

    /// Waits until QEMU ends, as it does at a reset of a machine that is not to restart.
    pub fn wait_for_end(&mut self, step: &str) {
        let begin = Instant::now();
        while self.qemu.try_wait().ok().flatten().is_none() {
            assert!(begin.elapsed() < PATIENCE, "step '{step}': it does not end; log: {}", self.log.display());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Types at the serial port.
    pub fn press(&mut self, keys: &str) {
        self.keyboard
            .write_all(keys.as_bytes())
            .and_then(|()| self.keyboard.flush())
            .expect("the serial port takes keys");
    }

    /// Types the same again and again until `text` appears, at a machine that does not take keys yet.
    pub fn press_until(&mut self, step: &str, keys: &str, text: &str) {
        let begin = Instant::now();
        while !self.log().contains(text) {
            assert!(begin.elapsed() < PATIENCE, "step '{step}': no {text:?}; log: {}", self.log.display());
            self.press(keys);
            thread::sleep(Duration::from_millis(250));
        }
    }

    /// Waits until the system of a slot of the test disks has come up, Debian 12 in a and 13 in b,
    /// and logs in.
    pub fn comes_up(&mut self, slot: char) {
        self.debian_comes_up(if slot == 'a' { 12 } else { 13 });
    }

    /// Waits until this Debian has come up, and logs in.
    pub fn debian_comes_up(&mut self, release: u32) {
        self.wait_for(&format!("Debian {release} comes up"), &format!("Debian GNU/Linux {release} flipslot-vm"));
        self.wait_for("login prompt", "login:");
        self.log_in();
    }

    /// Runs a command until it prints `text`.
    pub fn wait_until(&mut self, step: &str, command: &str, text: &str) {
        let begin = Instant::now();
        loop {
            let printed = self.run(command);
            if printed.contains(text) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "step '{step}': `{command}` prints, at last:\n{printed}");
            thread::sleep(Duration::from_secs(1));
        }
    }

    /// All that the serial port has said.
    pub fn log(&self) -> String {
        plain(&self.serial.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Types a command that ends this system, and does not wait for it.
    pub fn leave_by(&mut self, command: &str) {
        self.press(&format!("{command}\n"));
    }

    /// Logs in as root, who has no password in the test images, once everything has started.
    pub fn log_in(&mut self) {
        self.press("root\n");
        self.wait_for("log in as root", ":~#");
        self.run("dmesg --console-level emerg; systemctl is-system-running --wait");
    }

    /// Runs a shell command and returns what it prints.
    pub fn run(&mut self, command: &str) -> String {
        let before = self.seen;
        // The marks are spelled so that the echo of the typed line is not taken for them.
        self.press(&format!("echo beg''in; {command}; echo en''d $?\n"));
        self.wait_for(command, "begin");
        let from = self.seen.max(before);
        self.wait_for(command, "end ");
        let log = plain(&self.serial.lock().unwrap_or_else(PoisonError::into_inner));
        let printed = log[from..self.seen - "end ".len()].replace('\r', "");
        // The kernel writes to the same port: lines like "[   52.1] ...".
        let of_kernel = |line: &&str| line.starts_with('[') && line.contains("] ");
        let lines: Vec<&str> =
            printed.lines().map(str::trim).filter(|line| !line.is_empty() && !of_kernel(line)).collect();
        lines.join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// The serial log of the machines of this name.
pub fn log(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("vm/logs/{name}.log"))
}

fn record(mut output: impl Read + Send + 'static, serial: Arc<Mutex<Vec<u8>>>, mut file: File) {
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = output.read(&mut chunk) {
            serial.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&chunk[..length]);
            let _ = file.write_all(&chunk[..length]);
        }
    });
}

/// The log as text, one character a byte, so that places in it stay where they are.
fn plain(log: &[u8]) -> String {
    log.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect()
}
