//! Slots with a second stage: by the firmware, by kexec, and in a trial that fails.

use crate::disks;
use crate::machine::{Machine, log};
use crate::setup::{Firmware, Setup};

#[test]
fn slots_with_a_second_stage_come_up_by_firmware_and_by_kexec_and_a_trial_without_a_root_ends() {
    let name = "two-stage";
    let _ = std::fs::remove_file(log(name));
    let disk = disks::create(name, &["--hardware=qemu", "--initramfs=two-stage"]);
    let mut machine = Machine::start(&Setup::lasting(name, Firmware::Uefi, &disk));
    machine.wait_for("the second stage is mounted", "erofs: (device loop0): mounted");
    machine.wait_for("systemd runs in it", "initrd-switch-root.target");
    machine.comes_up('a');
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
    assert!(machine.run("grep ' / ' /proc/mounts").starts_with("/dev/vda3 / ext4 rw"));
    assert!(machine.run("flipslot status").contains("made by flipslot, with a second stage by dracut"));
    let checked = machine.run("flipslot check --slot b; echo code $?");
    assert!(checked.contains("code 0"), "{checked}");
    machine.leave_by("flipslot switch --slot b --by kexec");
    machine.comes_up('b');
    machine.wait_until("b is confirmed", "flipslot status", "this boot was a trial and is confirmed");
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
    assert_eq!(machine.run("test -e /run/flipslot/keeper.pid; echo $?"), "1", "the agent has relieved the keeper");
    drop(machine);

    disks::edit(&disk, 'a', |root| {
        let boot = std::fs::read_dir(root.join("boot")).expect("slot a has /boot").flatten().map(|entry| entry.path());
        let stage = boot.into_iter().find(|path| path.extension().is_some_and(|end| end == "erofs"));
        std::fs::remove_file(stage.expect("it has a second stage")).expect("it is a file");
    });
    let mut machine = Machine::start(&Setup::lasting(name, Firmware::Uefi, &disk));
    machine.comes_up('b');
    let refused = machine.run("flipslot switch --slot a --by kexec; echo code $?");
    assert!(refused.contains("its second stage is missing") && refused.contains("code 3"), "{refused}");
    machine.leave_by("flipslot switch --slot a --by kexec --allow initramfs-damaged");
    machine.wait_for("it says what is missing", "attaching the second stage /sysroot/boot/initramfs-stage2-");
    machine.wait_for("and resets", "the machine is reset, which leads back to the proven slot");
    machine.wait_for("GRUB boots the slot that worked", "flipslot: booting slot b");
}
