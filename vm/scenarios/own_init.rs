//! The init of flipslot's own initramfs, started by QEMU without GRUB, with words of the test's own.

use crate::bus::Bus;
use crate::disks::{self, Scratch};
use crate::machine::Machine;
use crate::setup::{Firmware, Setup, Writes};
use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// A disk, and the kernel and initramfs of its slot a.
struct Parts {
    disk: Scratch,
    kernel: PathBuf,
    initramfs: PathBuf,
}

impl Parts {
    fn of(name: &str) -> Parts {
        let disk = disks::copy(disks::qemu(), name);
        let [kernel, initramfs] =
            ["vmlinuz-", "initramfs-"].map(|start| (start, disks::folder().join(format!("{name}-{start}"))));
        disks::edit(&disk, 'a', |root| {
            for (start, copy) in [&kernel, &initramfs] {
                let boot =
                    fs::read_dir(root.join("boot")).expect("the slot has /boot").flatten().map(|entry| entry.path());
                let is_it =
                    |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
                fs::copy(boot.into_iter().find(is_it).expect("it is in /boot"), copy).expect("it can be copied");
            }
        });
        Parts { disk, kernel: kernel.1, initramfs: initramfs.1 }
    }

    /// Starts the kernel with these words, and `disk` as the first one.
    fn start(&self, name: &str, disk: &Path, words: &str, more: &[&str]) -> Machine {
        let (kernel, initramfs) = (self.kernel.to_string_lossy(), self.initramfs.to_string_lossy());
        let words = format!("console=ttyS0,115200 rw {words}");
        let direct = ["-machine", "pc", "-kernel", &kernel, "-initrd", &initramfs, "-append", &words];
        let more = [&direct[..], more].concat();
        let (firmware, bus, writes) = (Firmware::Bios, Bus::VirtioBlk, Writes::Discarded);
        Machine::start(&Setup { name, firmware, bus, disk, writes, namespace: None, more: &more })
    }
}

#[test]
fn a_root_that_is_plugged_in_late_is_waited_for_and_one_with_errors_is_checked() {
    let name = "own-init-late";
    let parts = Parts::of(name);
    let at = disks::place_of(&parts.disk, 'a').0;
    let filesystem = format!("{}?offset={at}", parts.disk.display());
    // ext4/ext4.h: EXT4_VALID_FS and EXT4_ERROR_FS.
    disks::run("debugfs", &["-w", "-R", "set_super_value state 3", &filesystem]);
    let other = Scratch::named("own-init-other.raw");
    fs::File::create(&*other).and_then(|file| file.set_len(1 << 20)).expect("a small disk can be made");
    let socket = disks::folder().join("own-init.monitor");
    let drive = format!("id=late,if=none,format=raw,snapshot=on,file={}", parts.disk.display());
    let monitor = format!("unix:{},server=on,wait=off", socket.display());
    let uuid =
        disks::run("blkid", &["-p", "-O", &at.to_string(), "-o", "value", "-s", "UUID", &parts.disk.to_string_lossy()]);
    let words = format!("root=UUID={} rd.debug", uuid.trim());
    let mut machine = parts.start(name, &other, &words, &["-drive", &drive, "-monitor", &monitor]);
    machine.wait_for("it says that it waits", "flipslot: waiting for root=UUID=");
    machine.wait_for("and what there is", "there are: vda");
    let mut monitor = UnixStream::connect(&socket).expect("QEMU's monitor is there");
    monitor.write_all(b"device_add virtio-blk-pci,drive=late\n").expect("it takes commands");
    machine.wait_for("the errors are noticed", "flipslot: /dev/vdb3 has errors: running e2fsck -p");
    machine.wait_for("it goes on", "flipslot: starting /sbin/init");
    machine.wait_for("it comes up", "login:");
    machine.log_in();
    assert!(machine.run("grep ' / ' /proc/mounts").starts_with("/dev/vdb3 / ext4 rw"));
    assert_eq!(machine.run("dumpe2fs -h /dev/vdb3 2>/dev/null | sed -n 's/^Filesystem state: *//p'"), "clean");
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
    assert_eq!(machine.run("ls -A /run/initramfs 2>/dev/null; test -e /run/flipslot/keeper.pid; echo $?"), "1");
}

#[test]
fn it_stops_where_rd_break_says_and_a_mount_that_fails_resets_a_trial() {
    let name = "own-init-break";
    let parts = Parts::of(name);
    let guid = disks::run("sgdisk", &["--info", "3", &parts.disk.to_string_lossy()]);
    let guid = guid.lines().find_map(|line| line.strip_prefix("Partition unique GUID: ")).expect("it has one");
    let mut machine =
        parts.start(name, &parts.disk, &format!("root=PARTUUID={guid} rd.break rd.luks.uuid=x resume=/dev/vda9"), &[]);
    machine
        .wait_for("what it does not know is said", "rd.luks.uuid=x is not known to this initramfs, and does nothing");
    machine.wait_for("what it refuses is said", "resume=/dev/vda9 is refused");
    machine.wait_for("it stops", "rd.break: the root is mounted at /sysroot");
    machine.wait_for("and asks", "flipslot> ");
    machine.press("devices\n");
    machine.wait_for("the disks are listed", "vda3");
    machine.press("shell\n");
    machine.press_until("the root's shell answers", "echo in''side $(grep -c processor /etc/os-release)\n", "inside 0");
    machine.press("exit\n");
    machine.wait_for("it asks again", "flipslot> ");
    machine.press("continue\n");
    machine.wait_for("it comes up", "login:");
    drop(machine);

    let trial = format!("root=PARTUUID={guid} rootfstype=xfs flipslot.boot=kexec panic=10");
    let mut machine = parts.start("own-init-mount", &parts.disk, &trial, &[]);
    machine.wait_for("it says what failed", "the root cannot be mounted: mounting /dev/vda3 as xfs: No such device");
    machine.wait_for("and that it resets", "the machine is reset, which leads back to the proven slot");
    drop(machine);

    let missing = "root=PARTUUID=00000000-0000-0000-0000-000000000000 rd.timeout=5 panic=1";
    let mut machine = parts.start("own-init-missing", &parts.disk, missing, &[]);
    machine.wait_for("it gives up", "did not come within 5 s; there are: vda vda1");
    machine.wait_for("as the command line says", "Kernel panic - not syncing: Attempted to kill init!");
}
