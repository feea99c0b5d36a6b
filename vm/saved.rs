//! A machine that is saved once a run: it has come up from BIOS in slot a of [`disks::qemu`], and root
//! is logged in. A scenario that is not about that boot resumes it in 2 s.
//!
//! Disk and memory are saved apart, at the same moment: the disk is a raw file that a scenario copies
//! and may change, as long as it touches nothing that the machine holds in memory, which is slot a.
//! The rest of the disk is not in its page cache when it is saved.

use crate::bus::Bus;
use crate::disks::{self, Scratch};
use crate::machine::{self, Machine};
use crate::registry::NETWORK;
use crate::scenarios::boots::boot_slot;
use crate::setup::{Firmware, Setup, Writes};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Saving 300 MB takes two seconds; more than this is a failure.
const DEADLINE: Duration = Duration::from_secs(120);
/// QEMU's human monitor asks for the next command with this.
const PROMPT: &[u8] = b"(qemu) ";

/// A machine as it was at one moment.
struct Saved {
    disk: Scratch,
    memory: PathBuf,
}

/// Returns a copy of the disk as the saved machine left it, for [`resume`]; a new log begins.
pub fn disk(name: &str) -> Scratch {
    let _ = std::fs::remove_file(machine::log(name));
    disks::copy(&saved().disk, name)
}

/// Resumes the saved machine with a disk that [`disk`] returned, root logged in at slot a.
pub fn resume(name: &str, disk: &Path) -> Machine {
    let incoming = format!("exec:cat '{}'", saved().memory.display());
    let more = [&NETWORK[..], &["-incoming", &incoming]].concat();
    let mut machine = Machine::start(&Setup { more: &more, ..Setup::lasting(name, Firmware::Bios, disk) });
    machine.press_until("the machine goes on", "\n", ":~#");
    // Its clock has stopped since it was saved; the clock of the next kernel has not.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs();
    machine.run(&format!("date -s @{now}"));
    machine
}

fn saved() -> &'static Saved {
    static SAVED: OnceLock<Saved> = OnceLock::new();
    SAVED.get_or_init(|| {
        let name = "saved";
        let (disk, memory) = (disks::lasting(name), disks::folder().join("saved.memory"));
        let socket = disks::folder().join("saved.monitor");
        let monitor = format!("unix:{},server=on,wait=off", socket.display());
        let more = [&NETWORK[..], &["-monitor", &monitor]].concat();
        let setup = Setup {
            name,
            firmware: Firmware::Bios,
            bus: Bus::VirtioBlk,
            disk: &disk,
            writes: Writes::Kept,
            namespace: None,
            more: &more,
        };
        let mut machine = boot_slot(&setup, 'a', "Debian GNU/Linux 12");
        machine.log_in();
        machine.wait_until("the boot is noted", "systemctl show -p SubState flipslot-health", "SubState=exited");
        machine.run("sync; blockdev --flushbufs /dev/vda /dev/vda?; echo 3 >/proc/sys/vm/drop_caches");
        save(&socket, &memory);
        Saved { disk, memory }
    })
}

/// Writes the machine's memory and devices to `memory`, after which the machine does not go on.
fn save(socket: &Path, memory: &Path) {
    let mut monitor = UnixStream::connect(socket).expect("QEMU's monitor is there");
    monitor.set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
    answer(&mut monitor);
    let migrate = format!("migrate \"exec:cat >'{}'\"", memory.display());
    for command in ["migrate_set_parameter max-bandwidth 10G", &migrate, "info migrate"] {
        monitor.write_all(format!("{command}\n").as_bytes()).expect("the monitor takes commands");
        let said = answer(&mut monitor);
        assert!(command != "info migrate" || said.contains("Migration status: completed"), "saving failed: {said}");
    }
}

/// Reads what the monitor says until it asks for the next command.
fn answer(monitor: &mut UnixStream) -> String {
    let (mut said, mut chunk) = (Vec::new(), [0; 4096]);
    while !said.ends_with(PROMPT) {
        let length = monitor.read(&mut chunk).expect("the monitor answers in time");
        assert_ne!(length, 0, "QEMU ended: {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&chunk[..length]);
    }
    String::from_utf8_lossy(&said).into_owned()
}
