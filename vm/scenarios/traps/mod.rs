//! What people fell into when they put container images on bare metal (the recipe of 2021). Each trap is
//! found before anything boots; a disk that is made in spite of it does not come up; and `--fix` mends it.

mod default_target;
mod fixed;
mod getty;
mod virtio_missing;
mod xfs_features;
mod xfs_missing;

use crate::bus::Bus;
use crate::disks::{self, Single};
use crate::images::{self, Put};
use crate::inventories;
use crate::machine::Machine;
use crate::setup::{Firmware, Setup};
use std::fs;
use std::path::{Path, PathBuf};

/// - A root that is there is found some 10 s after systemd began to wait for it, without KVM.
/// - What keeps the initramfs from mounting it stands in the journal alone (systemd-journald.service(8)).
const KARGS: &str = "rd.timeout=45 rd.systemd.journald.forward_to_console=1";

/// An image with a trap in it.
struct Trap {
    name: &'static str,
    /// The image's OCI layout.
    layout: PathBuf,
    /// What else `create` is told.
    more: &'static [&'static str],
    /// The rule that finds it.
    rule: &'static str,
    /// What is said of it.
    found: &'static str,
    /// What the serial port says where it has snapped shut.
    sign: &'static str,
}

impl Trap {
    /// A disk with it is refused; one that is made in spite of it does not come up.
    fn is_found_and_is_real(&self) {
        self.is_found();
        let mut machine = start(&format!("{}-allowed", self.name), &self.layout, &self.flags("--allow"));
        machine.wait_for("the trap snaps shut", self.sign);
        assert!(!machine.log().contains("login:"), "it did not come up");
    }

    /// A disk with it is refused, and says what it found.
    fn is_found(&self) {
        let name = format!("{}-refused", self.name);
        let refused = Single { name: &name, layout: &self.layout }.refused(&flags(self.more));
        assert!(refused.contains(&format!("[{}]", self.rule)) && refused.contains(self.found), "{refused}");
        assert!(refused.contains(&format!("--fix {0}; or accept it: --allow {0}", self.rule)), "{refused}");
    }

    /// A disk that is made with the fix comes up.
    fn is_fixed(&self) {
        comes_up(start(&format!("{}-fixed", self.name), &self.layout, &self.flags("--fix")));
    }

    /// The flags of `create`, which say what to do about the trap.
    fn flags(&self, way: &str) -> Vec<String> {
        flags(&[self.more, &[way, self.rule]].concat())
    }
}

/// Makes a disk with these flags, and starts it.
fn start(name: &str, layout: &Path, flags: &[String]) -> Machine {
    let disk = Single { name, layout }.made(flags);
    let mut machine = Machine::start(&Setup::once(name, Firmware::Bios, Bus::VirtioBlk, &disk));
    machine.wait_for("GRUB starts the slot", "flipslot: booting slot a");
    machine
}

/// It comes up, and root can log in.
fn comes_up(mut machine: Machine) {
    machine.wait_for("it comes up", "login:");
    machine.log_in();
    // An image may have something of its own to say at the console.
    let said = machine.run("systemctl is-system-running --wait");
    assert!(said.lines().any(|line| line == "running"), "no unit has failed: {said}");
}

/// The flags of `create` for the machine on which the traps are tried.
fn flags(more: &[&str]) -> Vec<String> {
    let hardware = inventories::virtio_alone().to_string_lossy().into_owned();
    let kargs = format!("--kargs={KARGS}");
    [&["--hardware", &hardware, "--console=ttyS0", &kargs], more].concat().iter().map(ToString::to_string).collect()
}

/// The OCI layout of Debian 12 with an initramfs of its own, which has what the machine with this
/// inventory needs to find an ext4, and nothing else.
fn with_initramfs_for(inventory: &Path, name: &str) -> PathBuf {
    let layout = images::layout("bookworm");
    let disk = Single { name, layout: &layout }.made(&["--hardware", &inventory.to_string_lossy()]);
    let mut own = None;
    disks::edit(&disk, 'a', |root| {
        let boot = fs::read_dir(root.join("boot")).expect("the slot has /boot").flatten();
        let of_kernel = |entry: &fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            Some(name.strip_prefix("initramfs-")?.strip_suffix(".img")?.to_owned())
        };
        own = boot.into_iter().find_map(|entry| Some((of_kernel(&entry)?, fs::read(entry.path()).ok()?)));
    });
    let (version, bytes) = own.expect("dracut made one");
    images::with_layer(&images::layout("bookworm"), name, &[Put::File(&format!("boot/initrd.img-{version}"), bytes)])
}
