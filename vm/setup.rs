//! A machine that is not started yet: its hardware, and QEMU's command line for it.

use crate::accelerator;
use crate::bus::Bus;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const QEMU: &str = "qemu-system-x86_64";

/// Firmware that starts a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    Bios,
    Uefi,
}

/// A machine to start.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'s> {
    /// Name of its log.
    pub name: &'s str,
    pub firmware: Firmware,
    /// Controller of its disk.
    pub bus: Bus,
    /// A raw disk, or one whose name ends in another format that QEMU knows.
    pub disk: &'s Path,
    pub writes: Writes,
    /// Network namespace in which it runs; `None` for this machine's own.
    pub namespace: Option<&'s str>,
    /// Further arguments of QEMU. A `-machine` among them replaces q35.
    pub more: &'s [&'s str],
}

impl<'s> Setup<'s> {
    /// A machine whose writes are discarded, and that ends where it would restart.
    pub fn once(name: &'s str, firmware: Firmware, bus: Bus, disk: &'s Path) -> Setup<'s> {
        Setup { name, firmware, bus, disk, writes: Writes::Discarded, namespace: None, more: &[] }
    }

    /// A machine that keeps what it writes, and restarts.
    pub fn lasting(name: &'s str, firmware: Firmware, disk: &'s Path) -> Setup<'s> {
        Setup { name, firmware, bus: Bus::VirtioBlk, disk, writes: Writes::Kept, namespace: None, more: &[] }
    }

    /// QEMU's command line; the machine's serial port is its stdin and stdout.
    #[allow(clippy::disallowed_methods)] // tests start programs by themselves
    pub fn command(&self) -> Command {
        let mut command = Command::new(if self.namespace.is_some() { "ip" } else { QEMU });
        if let Some(namespace) = self.namespace {
            command.args(["netns", "exec", namespace, QEMU]);
        }
        // q35 has AHCI, PCI Express and a watchdog by itself.
        if !self.more.contains(&"-machine") {
            command.args(["-machine", "q35"]);
        }
        command.args(["-accel", accelerator::best(), "-cpu", accelerator::cpu()]);
        if !self.more.contains(&"-m") {
            command.args(["-m", "1024"]);
        }
        // No floppy, CD-ROM, parallel port or network card, whose drivers would only take time.
        command.args(["-nodefaults", "-display", "none", "-vga", "std", "-serial", "stdio"]);
        if self.writes == Writes::Discarded {
            command.arg("-no-reboot");
        }
        command.args(self.more);
        if self.firmware == Firmware::Uefi {
            command.args(["-drive", &format!("if=pflash,format=raw,readonly=on,file={}", ovmf().display())]);
        }
        let snapshot = if self.writes == Writes::Kept { "off" } else { "on" };
        let format = self.disk.extension().and_then(|ending| ending.to_str()).unwrap_or("raw");
        let drive = format!("id=disk,if=none,format={format},snapshot={snapshot},file={}", self.disk.display());
        command.args(["-drive", &drive]);
        for device in self.bus.devices() {
            command.args(["-device", device]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        command
    }
}

/// Fate of what a machine writes to its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// It is lost when the machine ends.
    Discarded,
    /// It stays in the disk.
    Kept,
}

/// OVMF's code, under the names that Debian 12, Debian 13 and Ubuntu give it.
fn ovmf() -> PathBuf {
    let known = ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/ovmf/OVMF.fd"];
    known.iter().map(PathBuf::from).find(|path| path.exists()).expect("OVMF is installed: apt-get install ovmf")
}
