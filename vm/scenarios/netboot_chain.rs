//! One set of boot files for images of any distribution: the kernel that fetches an image starts the one that is in it.

use crate::bus::Bus;
use crate::disks::{self, Scratch};
use crate::images;
use crate::lan::{Lan, SERVER};
use crate::machine::Machine;
use crate::setup::{Firmware, Setup};
use std::fs;
use std::path::{Path, PathBuf};

/// The address of the machine's network card.
const MAC: &str = "52:54:00:12:34:56";

/// Publishes a Debian; returns the folder of its image.
fn publish(folder: &Path, suite: &str) -> PathBuf {
    let before = listed(folder);
    let (place, url) = (folder.to_string_lossy(), format!("--url=http://{SERVER}"));
    let image = format!("--image=os=oci:{}:latest", images::layout(suite).display());
    let words = ["netboot", &place, &url, &image, "--console=ttyS0", "--progress=none", "--kargs=norandmaps panic=2"];
    disks::run(env!("CARGO_BIN_EXE_flipslot"), &words);
    let new = listed(folder).into_iter().find(|image| !before.contains(image));
    new.expect("there is one image more")
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    let images = fs::read_dir(folder.join("images")).into_iter().flatten().flatten();
    images.map(|image| image.path()).collect()
}

fn words_of(image: &Path) -> String {
    let text = fs::read_to_string(image.join("image.json")).expect("an image has a description");
    let described: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    described["cmdline"].as_str().expect("it has words").to_owned()
}

/// Boots `image` by the kernel and the initramfs of `boots`.
fn boots_by(name: &str, boots: &str, image: &str, release: u32) {
    let folder = tempfile::tempdir().expect("a folder to serve");
    let mut lan = Lan::new(name, folder.path());
    let (boots, image) = (publish(folder.path(), boots), publish(folder.path(), image));
    // Neither the words nor the lease have a name for it: the name servers have.
    let known = format!("--dhcp-host={MAC},10.77.0.150");
    lan.serve(&["--port=53", &known, "--ptr-record=150.0.77.10.in-addr.arpa,rack1.lab.example"]);
    let words = words_of(&image);
    let (kernel, initrd) = (boots.join("vmlinuz"), boots.join("initrd"));
    let files = ["-kernel", &kernel.to_string_lossy(), "-initrd", &initrd.to_string_lossy(), "-append", &words];
    let mut card = Lan::card(MAC);
    card[3] = card[3].replace(",bootindex=0", "");
    let more: Vec<&str> = files.into_iter().chain(card.iter().map(String::as_str)).chain(["-m", "768"]).collect();
    let disk = Scratch::named(&format!("{name}.raw"));
    fs::write(&*disk, vec![0; 1 << 20]).expect("an empty disk can be made");
    let setup = Setup::once(name, Firmware::Bios, Bus::VirtioBlk, &disk);
    let mut machine = Machine::start(&Setup { namespace: Some(&lan.namespace), more: &more, ..setup });
    machine.wait_for("the boot kernel gives way", "of the image");
    machine.wait_for("the image comes up", &format!("Debian GNU/Linux {release} rack1"));
    machine.wait_for("login prompt", "rack1 login:");
    machine.log_in();
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
    assert_eq!(machine.run("test -d /usr/lib/modules/$(uname -r) && echo its own"), "its own");
    assert!(machine.run("cat /proc/cmdline").contains("root=flipslot:/image@sha256:"));
    assert!(machine.run("cat /proc/cmdline").contains(" flipslot.host=rack1 "));
}

#[test]
fn debian_12_starts_the_kernel_of_debian_13_without_fetching_twice() {
    boots_by("chain_13", "bookworm", "trixie", 13);
}

#[test]
#[ignore = "make test-all"]
fn debian_13_starts_the_kernel_of_debian_12_without_fetching_twice() {
    boots_by("chain_12", "trixie", "bookworm", 12);
}
