//! Slots whose root is one file: a restart is the image again, or what was written is kept apart for each image.

use crate::disks::{self, Scratch};
use crate::machine::{Machine, log};
use crate::setup::{Firmware, Setup};

fn disk(name: &str, more: &[&str]) -> Scratch {
    let always = ["--root=squashfs", "--slot-size=1GiB", "--data", "--hardware=qemu"];
    disks::create(name, &[&always[..], more].concat())
}

fn start(name: &str, firmware: Firmware, disk: &Scratch) -> Machine {
    let _ = std::fs::remove_file(log(name));
    let more = ["-uuid", "4c4c4544-004b-3510-804b-b4c04f564431"];
    Machine::start(&Setup { more: &more, ..Setup::lasting(name, firmware, disk) })
}

fn comes_up(machine: &mut Machine, slot: char, filesystem: &str) {
    machine.comes_up(slot);
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
    let mounts = machine.run("grep -E ' (/|/run/flipslot/(base|medium)) ' /proc/mounts");
    assert!(
        mounts.contains("overlay / overlay rw") && mounts.contains(&format!("/run/flipslot/medium {filesystem} ro")),
        "{mounts}"
    );
}

#[test]
fn a_slot_that_forgets_is_its_image_after_a_restart_and_jumps_as_any_other() {
    let disk = disk("forgets", &["--filesystem=b=btrfs"]);
    let mut machine = start("forgets", Firmware::Bios, &disk);
    comes_up(&mut machine, 'a', "ext4");
    let id = machine.run("cat /etc/machine-id");
    machine.run("rm -r /usr/share /etc/passwd; touch /here");
    let status = machine.run("flipslot status");
    assert!(status.contains("root: one squashfs") && status.contains("a restart is the image again"), "{status}");
    assert!(status.contains("compared block by block, as it is read (dm-verity)"), "{status}");
    assert!(status.contains("files since the start") && status.contains("/here"), "{status}");
    let said = machine.run("flipslot flash oci:/nowhere --slot a --root erofs; echo code $?");
    assert!(said.contains("this system runs from slot a") && said.contains("code 3"), "{said}");
    let said = machine.run("flipslot flash oci:/nowhere --slot b; echo code $?");
    assert!(said.contains("no program of this machine writes a squashfs") && said.contains("--root erofs"), "{said}");
    let said = machine.run("flipslot reset; echo code $?");
    assert!(said.contains("keeps nothing over an image") && said.contains("code 3"), "{said}");

    machine.leave_by("flipslot switch --slot b --by kexec");
    machine.wait_for("the new kernel comes without the firmware", "Linux version");
    comes_up(&mut machine, 'b', "btrfs");
    machine.wait_until("b is confirmed", "flipslot status", "this boot was a trial and is confirmed");
    machine.leave_by("flipslot rollback");
    machine.wait_for("the new kernel comes without the firmware", "Linux version");
    comes_up(&mut machine, 'a', "ext4");
    assert_eq!(machine.run("ls -d /here /usr/share 2>/dev/null"), "/usr/share", "it is the image again");
    assert_eq!(machine.run("cat /etc/machine-id"), id, "and the same machine");

    // A jump reads all of the root before; the topmost hashes are read at the start alone.
    let damage = "printf x | dd of=/mnt/flipslot/root.verity bs=1 seek=4116 conv=notrunc";
    machine.run(&format!("mount /dev/vda4 /mnt; {damage}; umount /mnt"));
    machine.leave_by("flipslot switch --slot b --by kexec");
    machine.wait_for("the kernel finds the wrong byte", "metadata block 1 is corrupted");
    machine.wait_for("and restarts", "GNU GRUB");
    comes_up(&mut machine, 'a', "ext4");
}

#[test]
fn a_slot_that_keeps_what_is_written_keeps_it_for_its_image_until_it_is_reset() {
    let disk = disk("keeps", &["--overlay=data", "--filesystem=xfs"]);
    let mut machine = start("keeps", Firmware::Uefi, &disk);
    comes_up(&mut machine, 'a', "xfs");
    machine.run("echo mine > /etc/motd; rm -r /usr/share/doc");
    machine.leave_by("systemctl reboot");
    comes_up(&mut machine, 'a', "xfs");
    assert_eq!(machine.run("cat /etc/motd; ls -d /usr/share/doc 2>&1 | grep -c 'No such file'"), "mine\n1");
    let status = machine.run("flipslot status");
    assert!(status.contains("kept for this image; to remove them: flipslot reset"), "{status}");
    assert!(machine.run("flipslot reset").contains("removed at its next start"));
    machine.leave_by("systemctl reboot");
    comes_up(&mut machine, 'a', "xfs");
    assert_ne!(machine.run("cat /etc/motd"), "mine");
    assert_eq!(machine.run("ls /run/flipslot/data/flipslot/overlay/a | wc -l"), "1");
}
