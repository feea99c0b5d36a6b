//! What people fell into when they put container images on bare metal (the recipe of 2021). Each trap is
//! found before anything boots; a disk that is made in spite of it does not come up; and `--fix` mends it.

mod default_target;
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
struct Trap<'t> {
    name: &'t str,
    /// The image's OCI layout.
    layout: &'t Path,
    /// What else `create` is told.
    more: &'t [&'t str],
    /// The rule that finds it.
    rule: &'t str,
    /// What the serial port says where it has snapped shut.
    sign: &'t str,
}

impl Trap<'_> {
    /// It is found; it is real; it can be mended. `found` is what is said of it.
    fn is_found_is_real_and_is_mended(&self, found: &str) {
        self.is_found(found);
        self.is_real_and_is_mended();
    }

    /// A disk with it is refused, and `found` is what is said of it.
    fn is_found(&self, found: &str) {
        let name = format!("{}-refused", self.name);
        let refused = Single { name: &name, layout: self.layout }.refused(&self.flags(None));
        assert!(refused.contains(&format!("[{}]", self.rule)) && refused.contains(found), "{refused}");
        assert!(refused.contains(&format!("--fix {0}; or accept it: --allow {0}", self.rule)), "{refused}");
    }

    /// A disk that is made in spite of it does not come up, one that is made with the fix does.
    fn is_real_and_is_mended(&self) {
        let disk = |way: &str| format!("{}-{way}", self.name);
        let mut machine = self.start(&disk("allowed"), "--allow");
        machine.wait_for("the trap snaps shut", self.sign);
        assert!(!machine.log().contains("login:"), "it did not come up");
        drop(machine);

        let mut machine = self.start(&disk("mended"), "--fix");
        machine.wait_for("it comes up", "login:");
        machine.log_in();
        // An image may have something of its own to say at the console.
        let said = machine.run("systemctl is-system-running --wait");
        assert!(said.lines().any(|line| line == "running"), "no unit has failed: {said}");
    }

    /// Makes a disk that is told what to do about the trap, and starts it.
    fn start(&self, name: &str, way: &str) -> Machine {
        let disk = Single { name, layout: self.layout }.made(&self.flags(Some(way)));
        let mut machine = Machine::start(&Setup::once(name, Firmware::Bios, Bus::VirtioBlk, &disk));
        machine.wait_for("GRUB starts the slot", "flipslot: booting slot a");
        machine
    }

    fn flags(&self, way: Option<&str>) -> Vec<String> {
        let hardware = inventories::virtio_alone().to_string_lossy().into_owned();
        let kargs = format!("--kargs={KARGS}");
        let mut flags = ["--hardware", &hardware, "--console=ttyS0", &kargs].map(str::to_owned).to_vec();
        flags.extend(self.more.iter().map(ToString::to_string));
        flags.extend(way.iter().flat_map(|way| [way.to_string(), self.rule.to_owned()]));
        flags
    }
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
    images::with_layer("bookworm", name, &[Put::File(&format!("boot/initrd.img-{version}"), bytes)])
}
