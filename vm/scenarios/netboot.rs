//! Machines without a disk of ours: they boot by PXE from a folder of static files, and a restart is the image again.

use crate::disks::{self, Scratch};
use crate::images::{self, Put};
use crate::lan::{Lan, SERVER};
use crate::machine::{Machine, log};
use crate::setup::{Firmware, Setup};
use std::path::Path;

/// The address of the machine's network card.
const MAC: &str = "52:54:00:12:34:56";

/// Publishes a Debian for the machine; these flags come last.
fn publish(folder: &Path, suite: &str, more: &[&str]) {
    publish_host(folder, suite, &format!("--host=rack1=os,mac={MAC}"), more);
}

/// The same for a host that this flag describes.
fn publish_host(folder: &Path, suite: &str, host: &str, more: &[&str]) {
    let folder = folder.to_string_lossy();
    let url = format!("--url=http://{SERVER}");
    let image = format!("--image=os=oci:{}:latest", images::layout(suite).display());
    let always = ["netboot", &folder, &url, &image, host, "--console=ttyS0", "--progress=none"];
    let same: Vec<&str> =
        [disks::SAME_ADDRESSES].into_iter().filter(|_| !more.iter().any(|flag| flag.starts_with("--kargs"))).collect();
    disks::run(env!("CARGO_BIN_EXE_flipslot"), &[&always[..], &same, more].concat());
}

/// Starts a machine in the network, with 512 MiB of memory and a disk of nothing.
fn start(name: &str, lan: &Lan, firmware: Firmware, disk: &Scratch, rom: &str) -> Machine {
    let _ = std::fs::remove_file(log(name));
    std::fs::write(&**disk, vec![0; 1 << 20]).expect("an empty disk can be made");
    let mut card = Lan::card(MAC);
    card[3] += rom;
    let more = ["-m", "512", "-uuid", "4c4c4544-004b-3510-804b-b4c04f564431"];
    let more: Vec<&str> = card.iter().map(String::as_str).chain(more).collect();
    let setup = Setup::lasting(name, firmware, disk);
    Machine::start(&Setup { namespace: Some(&lan.namespace), more: &more, ..setup })
}

fn comes_up(machine: &mut Machine, release: u32, format: &str) {
    machine.wait_for("the initramfs fetches the image", &format!("MiB from http://{SERVER}/images/"));
    machine.wait_for("the image comes up", &format!("Debian GNU/Linux {release} rack1"));
    machine.wait_for("login prompt", "rack1 login:");
    machine.log_in();
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
    let mounts = machine.run("grep -E ' (/|/run/flipslot/base) ' /proc/mounts");
    assert!(mounts.contains("overlay / overlay rw") && mounts.contains(&format!(" {format} ro")), "{mounts}");
}

#[test]
fn a_diskless_machine_forgets_what_was_broken_in_it_and_boots_what_is_published_next() {
    let folder = tempfile::tempdir().expect("a folder to serve");
    let mut lan = Lan::new("netboot", folder.path());
    publish(folder.path(), "bookworm", &[]);
    lan.serve(&[]);
    let disk = Scratch::named("netboot.raw");
    let mut machine = start("netboot", &lan, Firmware::Bios, &disk, "");
    comes_up(&mut machine, 12, "squashfs");
    assert_eq!(lan.leases(), 0, "the initramfs has given its address back");
    // The system asks for an address of its own.
    let network = "printf '[Match]\\nName=e*\\n[Network]\\nDHCP=ipv4\\n' > /etc/systemd/network/a.network";
    machine.run(&format!("{network}; systemctl start systemd-networkd"));
    machine.wait_until("networkd gets an address", "ip -4 address", "10.77.0.");
    assert_eq!(lan.leases(), 1, "and the server has one lease of the machine");
    let first = machine.run("cat /etc/machine-id");
    assert_eq!(first.len(), 32, "{first}");
    machine.run("rm -r /usr/share /etc/passwd; touch /here");
    let status = machine.run("flipslot status");
    assert!(status.contains("compared at the start") && status.contains("/here"), "{status}");
    assert!(status.contains("host     rack1, by flipslot.host="), "{status}");
    assert_eq!(machine.run("ls -d /here /usr/share 2>/dev/null"), "/here");

    machine.leave_by("systemctl reboot -f");
    comes_up(&mut machine, 12, "squashfs");
    assert_eq!(machine.run("ls -d /here /usr/share 2>/dev/null"), "/usr/share", "it is the image again");
    assert_eq!(machine.run("cat /etc/machine-id"), first, "and the same machine");

    let layer = format!("--host=rack1=os,mac={MAC},layer={}", host_image("trixie", "host"));
    // The host's layer brings a network, over which it is configured.
    let script = "#!/bin/sh\necho configured > /etc/configured\n";
    std::fs::write(folder.path().join("setup"), script).expect("a file can be served");
    let digest = flipslot::words::digest::Digest::of(script.as_bytes());
    let kargs = format!("--kargs=norandmaps flipslot.run=http://{SERVER}/setup@{digest}");
    publish_host(folder.path(), "trixie", &layer, &["--format=erofs", &kargs]);
    machine.leave_by("systemctl reboot -f");
    comes_up(&mut machine, 13, "erofs");
    has_its_layer(&mut machine);
    machine.wait_until("it is configured", "flipslot status | grep '  run '", "done");
    assert_eq!(machine.run("cat /etc/configured"), "configured");
}

/// Makes the image of a host, which has a layer more than a Debian; returns its reference.
pub fn host_image(suite: &str, name: &str) -> String {
    let file = |path, text: &str| Put::File(path, text.as_bytes().to_vec());
    let puts = [
        file("etc/hostname", "rack1\n"),
        file("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        file("etc/of-host", "hello\n"),
        file("etc/.wh.issue.net", ""),
        file("etc/systemd/network/a.network", "[Match]\nName=e*\n[Network]\nDHCP=ipv4\n"),
        Put::Link(
            "etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
            "/lib/systemd/system/systemd-networkd.service",
        ),
    ];
    format!("oci:{}:latest", images::with_layer(&images::layout(suite), name, &puts).display())
}

/// Fails unless the layer of [`host_image`] lies over the root.
pub fn has_its_layer(machine: &mut Machine) {
    assert_eq!(machine.run("cat /etc/of-host /etc/machine-id"), "hello\n0123456789abcdef0123456789abcdef");
    assert_eq!(machine.run("ls /etc/issue.net 2>/dev/null || echo gone"), "gone");
    let status = machine.run("flipslot status");
    let says = ["host     rack1, by the layer of this host", "layer    sha256:"];
    assert!(says.iter().all(|said| status.contains(said)), "{status}");
}

/// Boots a machine by a loader, as far as a login.
fn boots_by(name: &str, firmware: Firmware, loader: &str, rom: &str, sign: &str) {
    let folder = tempfile::tempdir().expect("a folder to serve");
    let mut lan = Lan::new(name, folder.path());
    publish(folder.path(), "bookworm", &[&format!("--loader={loader}")]);
    lan.serve_by_flipslot(&[]);
    let disk = Scratch::named(&format!("{name}.raw"));
    let mut machine = start(name, &lan, firmware, &disk, rom);
    comes_up(&mut machine, 12, "squashfs");
    let (log, asked) = (machine.log(), lan.said("flipslot"));
    assert!(log.contains(sign) || asked.contains(sign), "{sign}: {asked}");
    let fetched = asked.lines().any(|line| line.contains(" rack1: images/") && line.contains("/root.squashfs "));
    assert!(fetched, "a line says what the machine got: {asked}");
}

#[test]
#[ignore = "make test-all"]
fn pxelinux_boots_a_machine_with_a_bios() {
    boots_by("pxelinux", Firmware::Bios, "pxelinux,grub", "", "pxelinux.cfg/01-52-54-00-12-34-56");
}

#[test]
#[ignore = "make test-all"]
fn grub_boots_a_machine_with_a_bios() {
    boots_by("grub_bios", Firmware::Bios, "grub", "", "by-mac/52-54-00-12-34-56/grub.cfg");
}

#[test]
fn grub_boots_a_machine_with_uefi() {
    boots_by("grub_uefi", Firmware::Uefi, "pxelinux,grub", ",romfile=", "by-mac/52-54-00-12-34-56/grub.cfg");
}

#[test]
#[ignore = "make test-all"]
fn the_stock_initramfs_of_dracut_boots_a_machine() {
    let folder = tempfile::tempdir().expect("a folder to serve");
    let mut lan = Lan::new("livenet", folder.path());
    let image = images::with_packages("trixie", &["dracut-live", "dracut-network", "curl", "dmsetup"]);
    let (url, host) = (format!("--url=http://{SERVER}"), format!("--host=rack1=os,mac={MAC}"));
    let (image, served) = (format!("--image=os=oci:{}:latest", image.display()), folder.path().to_string_lossy());
    let words = ["netboot", &served, &url, &image, &host, "--console=ttyS0", "--progress=none", "--initramfs=dracut"];
    disks::run(env!("CARGO_BIN_EXE_flipslot"), &words);
    lan.serve_by_flipslot(&[]);
    let disk = Scratch::named("livenet.raw");
    let mut machine = start("livenet", &lan, Firmware::Bios, &disk, "");
    machine.wait_for("the image comes up", "Debian GNU/Linux 13 rack1");
    machine.wait_for("login prompt", "rack1 login:");
    machine.log_in();
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
    assert!(machine.run("grep ' / ' /proc/mounts").contains("overlay"));
    assert!(lan.said("flipslot").contains("root.squashfs"), "{}", lan.said("flipslot"));
}

#[test]
#[ignore = "make test-all"]
fn ipxe_boots_a_machine_with_uefi() {
    boots_by("ipxe_uefi", Firmware::Uefi, "ipxe", ",romfile=", "loaders/ipxe.efi");
}

#[test]
#[ignore = "make test-all"]
fn a_machine_gets_its_address_from_another_server_and_its_image_from_serve() {
    let folder = tempfile::tempdir().expect("a folder to serve");
    let mut lan = Lan::new("proxy", folder.path());
    publish(folder.path(), "bookworm", &[]);
    lan.add_dhcp_server();
    lan.serve_by_flipslot(&["--proxy-dhcp"]);
    let disk = Scratch::named("proxy.raw");
    let mut machine = start("proxy", &lan, Firmware::Bios, &disk, "");
    comes_up(&mut machine, 12, "squashfs");
    assert!(lan.said("flipslot").contains("another server hands out addresses"), "{}", lan.said("flipslot"));
}
