//! A QEMU machine with a deadline: wait for text on its serial port, type, kill; its log stays.

use crate::accelerator;
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

/// What its disk hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    VirtioBlk,
    Ahci,
    Nvme,
}

/// A machine to start.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'s> {
    /// What its log is called.
    pub name: &'s str,
    pub firmware: Firmware,
    pub bus: Bus,
    /// A raw disk; what the machine writes to it is thrown away.
    pub disk: &'s Path,
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
        let Setup { name, firmware, bus, disk } = *setup;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vm/logs");
        fs::create_dir_all(&folder).expect("the folder of the logs can be made");
        let log = folder.join(format!("{name}.log"));
        let mut command = Command::new("qemu-system-x86_64");
        // q35 has AHCI and PCI Express by itself.
        command.args(["-machine", "q35", "-accel", accelerator::best(), "-cpu", "max", "-m", "1024"]);
        command.args(["-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-nic", "none"]);
        if firmware == Firmware::Uefi {
            command.args(["-drive", &format!("if=pflash,format=raw,readonly=on,file={}", ovmf().display())]);
        }
        command.args(["-drive", &format!("id=disk,if=none,format=raw,snapshot=on,file={}", disk.display())]);
        command.args([
            "-device",
            match bus {
                Bus::VirtioBlk => "virtio-blk-pci,drive=disk,bootindex=1",
                Bus::Ahci => "ide-hd,bus=ide.0,drive=disk,bootindex=1",
                Bus::Nvme => "nvme,serial=flipslot,drive=disk,bootindex=1",
            },
        ]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut qemu = command.spawn().expect("qemu-system-x86_64 can be started");
        let keyboard = qemu.stdin.take().expect("stdin was piped");
        let output = qemu.stdout.take().expect("stdout was piped");
        let serial = Arc::new(Mutex::new(Vec::new()));
        let file = File::create(&log).expect("the log can be made");
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
