//! The image in the initramfs, and beside it: machines whose boot loader brings everything.

use crate::bus::Bus;
use crate::disks::{self, Scratch};
use crate::images;
use crate::lan::{Lan, SERVER};
use crate::machine::Machine;
use crate::setup::{Firmware, Setup};
use std::fs;
use std::path::Path;

const MAC: &str = "52:54:00:12:34:56";

/// Publishes an image for the machine; returns the folder of the image.
fn publish(folder: &Path, more: &[&str]) -> std::path::PathBuf {
    let (place, url) = (folder.to_string_lossy(), format!("--url=http://{SERVER}"));
    let image = format!("--image=os=oci:{}:latest", images::layout("bookworm").display());
    let host = format!("--host=rack1=os,mac={MAC}");
    let words = ["netboot", &place, &url, &image, &host, "--console=ttyS0", "--progress=none"];
    disks::run(env!("CARGO_BIN_EXE_flipslot"), &[&words[..], &["--kargs=norandmaps panic=2"], more].concat());
    let image = fs::read_dir(folder.join("images")).ok().and_then(|mut images| images.next()?.ok());
    image.expect("there is an image").path()
}

/// Lets the host's boot loader bring the root, too, as a file of the initramfs (ipxe.org/cmd/initrd).
fn append(folder: &Path, image: &Path) {
    let script = folder.join("hosts/rack1/boot.ipxe");
    let text = fs::read_to_string(&script).expect("there is a host");
    let root = text.split(' ').find(|word| word.starts_with("root=")).expect("it names a root");
    let digest = root.split_once('@').expect("it has a digest").1;
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let text = text.replace(root, &format!("root=flipslot:/image@{digest}"));
    let more = format!("initrd http://{SERVER}/images/{name}/root.squashfs /image mode=444\nboot\n");
    fs::write(&script, text.replace("boot\n", &more)).expect("the script can be written");
}

fn boots(name: &str, lan: &Lan) {
    let disk = Scratch::named(&format!("{name}.raw"));
    fs::write(&*disk, vec![0; 1 << 20]).expect("an empty disk can be made");
    let card = Lan::card(MAC);
    let more: Vec<&str> = card.iter().map(String::as_str).chain(["-m", "1024"]).collect();
    let setup = Setup::once(name, Firmware::Bios, Bus::VirtioBlk, &disk);
    let mut machine = Machine::start(&Setup { namespace: Some(&lan.namespace), more: &more, ..setup });
    machine.wait_for("the root is in the initramfs", "root=flipslot:/image@sha256:");
    machine.wait_for("login prompt", "rack1 login:");
    machine.log_in();
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
    let status = machine.run("flipslot status");
    assert!(status.contains("compared at the start"), "{status}");
}

#[test]
#[ignore = "make test-all"]
fn an_image_in_the_initramfs_comes_up() {
    let folder = tempfile::tempdir().expect("a folder to serve");
    let mut lan = Lan::new("embedded", folder.path());
    publish(folder.path(), &["--embed"]);
    lan.serve(&[]);
    boots("embedded", &lan);
}

#[test]
#[ignore = "make test-all"]
fn n12_an_image_that_the_boot_loader_appends_comes_up_and_one_that_was_cut_is_refused() {
    let folder = tempfile::tempdir().expect("a folder to serve");
    let mut lan = Lan::new("appended", folder.path());
    let image = publish(folder.path(), &[]);
    append(folder.path(), &image);
    lan.serve(&[]);
    boots("appended", &lan);
    let root = image.join("root.squashfs");
    let bytes = fs::read(&root).expect("the root is a file");
    fs::write(&root, &bytes[..bytes.len() / 2]).expect("the root can be cut");
    let disk = Scratch::named("appended-cut.raw");
    fs::write(&*disk, vec![0; 1 << 20]).expect("an empty disk can be made");
    let card = Lan::card(MAC);
    let more: Vec<&str> = card.iter().map(String::as_str).chain(["-m", "1024"]).collect();
    let setup = Setup::once("appended-cut", Firmware::Bios, Bus::VirtioBlk, &disk);
    let mut machine = Machine::start(&Setup { namespace: Some(&lan.namespace), more: &more, ..setup });
    machine.wait_for("half of it is refused", "the image /image is damaged: it has the digest sha256:");
    machine.wait_for_end("the reset");
}
