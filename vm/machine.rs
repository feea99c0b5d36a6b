//! A QEMU machine with a deadline: wait for text on its serial port, type, kill; its log stays.

use crate::accelerator;
use crate::bus::Bus;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How the machine starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    Bios,
    Uefi,
}

/// A machine to start.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'s> {
    /// What its log is called.
    pub name: &'s str,
    pub firmware: Firmware,
    /// What its disk hangs on.
    pub bus: Bus,
    /// A raw disk, or one whose name says another format that QEMU knows.
    pub disk: &'s Path,
    /// What becomes of what the machine writes to it.
    pub writes: Writes,
    /// What else QEMU is told.
    pub more: &'s [&'s str],
}

impl<'s> Setup<'s> {
    /// A machine whose writes are thrown away, and that ends where it would restart.
    pub fn once(name: &'s str, firmware: Firmware, bus: Bus, disk: &'s Path) -> Setup<'s> {
        Setup { name, firmware, bus, disk, writes: Writes::ThrownAway, more: &[] }
    }

    /// A machine that keeps what it writes, and restarts.
    pub fn lasting(name: &'s str, firmware: Firmware, disk: &'s Path) -> Setup<'s> {
        Setup { name, firmware, bus: Bus::VirtioBlk, disk, writes: Writes::Kept, more: &[] }
    }
}

/// What becomes of a machine's writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// Gone when it ends.
    ThrownAway,
    /// In its disk.
    Kept,
}

/// No step of any scenario takes longer, even without KVM on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(300);

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
    #[allow(clippy::disallowed_methods)] // tests start programs by themselves
    pub fn start(setup: &Setup) -> Machine {
        let Setup { name, firmware, bus, disk, writes, more } = *setup;
        let log = log(name);
        fs::create_dir_all(log.parent().expect("it is in a folder")).expect("the folder of the logs can be made");
        let mut command = Command::new("qemu-system-x86_64");
        // q35 has AHCI and PCI Express by itself.
        if !more.contains(&"-machine") {
            command.args(["-machine", "q35"]);
        }
        command.args(["-accel", accelerator::best(), "-cpu", "max", "-m", "1024"]);
        command.args(["-display", "none", "-monitor", "none", "-serial", "stdio"]);
        if writes == Writes::ThrownAway {
            command.arg("-no-reboot");
        }
        command.args(if more.contains(&"-nic") { &[][..] } else { &["-nic", "none"] });
        command.args(more);
        if firmware == Firmware::Uefi {
            command.args(["-drive", &format!("if=pflash,format=raw,readonly=on,file={}", ovmf().display())]);
        }
        let snapshot = if writes == Writes::Kept { "off" } else { "on" };
        let format = disk.extension().and_then(|ending| ending.to_str()).unwrap_or("raw");
        let drive = format!("id=disk,if=none,format={format},snapshot={snapshot},file={}", disk.display());
        command.args(["-drive", &drive]);
        for device in bus.devices() {
            command.args(["-device", device]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut qemu = command.spawn().expect("qemu-system-x86_64 can be started");
        let keyboard = qemu.stdin.take().expect("stdin was piped");
        let output = qemu.stdout.take().expect("stdout was piped");
        let serial = Arc::new(Mutex::new(Vec::new()));
        // A machine that is started again goes on in the same log.
        let mut options = File::options();
        options.create(true).append(true);
        if writes == Writes::ThrownAway {
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

    /// Types at the serial port.
    pub fn press(&mut self, keys: &str) {
        self.keyboard
            .write_all(keys.as_bytes())
            .and_then(|()| self.keyboard.flush())
            .expect("the serial port takes keys");
    }

    /// Waits until the system of a slot of the test disks has come up, Debian 12 in a and 13 in b,
    /// and logs in.
    pub fn comes_up(&mut self, slot: char) {
        let os = if slot == 'a' { "Debian GNU/Linux 12" } else { "Debian GNU/Linux 13" };
        self.wait_for(&format!("slot {slot} comes up"), &format!("{os} flipslot-vm"));
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

/// OVMF's code, as Debian 12, Debian 13 and Ubuntu call it.
fn ovmf() -> PathBuf {
    let known = ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/ovmf/OVMF.fd"];
    known.iter().map(PathBuf::from).find(|path| path.exists()).expect("OVMF is installed: apt-get install ovmf")
}
