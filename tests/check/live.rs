//! Faults of an image that is to boot from the network, and is sound on a disk.

use crate::check::case::{Case, all_must_be_found_alone, check, write};
use crate::check::sound::{self, fixed, program};
use crate::support::tar::{Item, file, symlink};

const NETBOOT: [&str; 2] = ["--boot=netboot", "--console=ttyS0"];

/// Modules of a live root, in addition to those of the sound image's kernel.
fn modules() -> Vec<Item> {
    let live = ["fs/squashfs/squashfs", "drivers/block/loop", "fs/overlayfs/overlay"];
    let more: String = live.iter().map(|module| format!("kernel/{module}.ko:\n")).collect();
    sound::modules(sound::VERSION, &format!("{}{more}", sound::DEP))
}

fn with(more: impl IntoIterator<Item = Item>) -> Vec<Item> {
    let mut items = modules();
    items.extend(more);
    items
}

pub fn cases() -> Vec<Case> {
    let unit = "bootloader-update.service";
    let enabled = [
        file(
            format!("usr/lib/systemd/system/{unit}"),
            "[Service]\nExecStart=/bin/sh\n[Install]\nWantedBy=multi-user.target\n",
        ),
        symlink(
            format!("etc/systemd/system/multi-user.target.wants/{unit}"),
            format!("/usr/lib/systemd/system/{unit}"),
        ),
    ];
    let case = |rule, layer, says| Case::new(rule, "from the network", layer, says).words(&NETBOOT);
    vec![
        case(
            "containers-on-overlay",
            with([program("usr/bin/podman", fixed())]),
            "/usr/bin/podman, and its root is an overlay",
        ),
        case("root-memory", with([]), "it needs a machine with 289MiB, and this one has 96MiB")
            .machine(|machine| machine["memory"] = (96u64 << 20).into()),
        Case::new(
            "dracut-live",
            "by dracut without curl",
            with(["90livenet", "90dmsquash-live"].map(|name| file(format!("usr/lib/dracut/modules.d/{name}/x"), ""))),
            "there is no /usr/bin/curl (package curl)",
        )
        .words(&[&NETBOOT[..], &["--initramfs=dracut"]].concat()),
        case("units-of-disks", with(enabled), "bootloader-update.service is started"),
    ]
}

#[test]
fn what_does_not_work_without_a_disk_is_said() {
    all_must_be_found_alone(cases());
}

#[test]
fn an_image_that_is_sound_from_the_network_has_no_finding_and_podman_needs_files() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[with([program("usr/bin/podman", fixed())])], &sound::machine());
    check(folder.path(), &["--boot=netboot", "--format=unpacked", "--console=ttyS0", "--strict"]).must_end(0, &[]);
    check(folder.path(), &["--console=ttyS0", "--strict"]).must_end(0, &[]);
    let squashfs = check(folder.path(), &["--boot=netboot", "--console=ttyS0"]);
    assert!(squashfs.stdout.contains("containers-on-overlay"), "{}", squashfs.stdout);
}
