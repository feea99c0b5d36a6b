//! What can go wrong before a machine has its image: each ends in a sentence on the console, and a reset.

use crate::bus::Bus;
use crate::disks::{self, Scratch};
use crate::images;
use crate::lan::{Lan, SERVER, SERVER_6};
use crate::machine::Machine;
use crate::setup::{Firmware, Setup};
use std::fs;
use std::path::PathBuf;

const MAC: &str = "52:54:00:12:34:56";

/// A folder with an image, and what QEMU needs to boot it without a loader.
struct Published {
    kernel: String,
    initrd: String,
    words: String,
    root: PathBuf,
    namespace: String,
}

fn publish(lan: &Lan) -> Published {
    let folder = lan.folder.as_path();
    let (place, url) = (folder.to_string_lossy(), format!("--url=http://{SERVER}"));
    let image = format!("--image=os=oci:{}:latest", images::layout("bookworm").display());
    let host = format!("--host=rack1=os,mac={MAC}");
    let words = ["netboot", &place, &url, &image, &host, "--console=ttyS0", "--progress=none"];
    disks::run(env!("CARGO_BIN_EXE_flipslot"), &[&words[..], &["--kargs=norandmaps panic=2"]].concat());
    let image = fs::read_dir(folder.join("images")).ok().and_then(|mut images| images.next()?.ok());
    let image = image.expect("there is an image").path();
    let script = fs::read_to_string(folder.join("hosts/rack1/boot.ipxe")).expect("there is a host");
    let kernel = script.lines().find_map(|line| line.strip_prefix("kernel ")).expect("it loads a kernel");
    let words = kernel.split_once(' ').expect("it has words").1.replace("BOOTIF=01-${netX/mac:hexhyp}", "");
    let path = |name: &str| image.join(name).to_string_lossy().into_owned();
    Published {
        kernel: path("vmlinuz"),
        initrd: path("initrd"),
        words,
        root: image.join("root.squashfs"),
        namespace: lan.namespace.clone(),
    }
}

/// Boots with these words until the sentence, and then to the reset.
fn ends_with(name: &str, published: &Published, words: &str, hardware: &[&str], sentence: &str) {
    let disk = Scratch::named(&format!("{name}.raw"));
    fs::write(&*disk, vec![0; 1 << 20]).expect("an empty disk can be made");
    let kernel = ["-kernel", &published.kernel, "-initrd", &published.initrd, "-append", words];
    let more = [&kernel[..], hardware].concat();
    let setup = Setup::once(name, Firmware::Bios, Bus::VirtioBlk, &disk);
    let mut machine = Machine::start(&Setup { namespace: Some(&published.namespace), more: &more, ..setup });
    machine.wait_for(sentence, sentence);
    machine.wait_for_end("the reset");
}

fn card() -> Vec<String> {
    let mut card = Lan::card(MAC);
    card[3] = card[3].replace(",bootindex=0", "");
    card.into()
}

#[test]
fn n1_an_image_with_a_wrong_byte_is_refused_and_the_machine_resets() {
    let folder = tempfile::tempdir().expect("a folder to serve");
    let mut lan = Lan::new("n1", folder.path());
    let published = publish(&lan);
    lan.serve(&[]);
    let mut bytes = fs::read(&published.root).expect("the root is a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&published.root, bytes).expect("the root can be written");
    let card = card();
    let card: Vec<&str> = card.iter().map(String::as_str).collect();
    ends_with("n1", &published, &published.words, &card, "what came has the digest sha256:");
}

#[test]
#[ignore = "make test-all"]
fn n4_n6_n8_what_a_machine_cannot_boot_with_is_a_sentence_and_a_reset() {
    let folder = tempfile::tempdir().expect("a folder to serve");
    let mut lan = Lan::new("n4", folder.path());
    let published = publish(&lan);
    let card = card();
    let card: Vec<&str> = card.iter().map(String::as_str).collect();
    let Published { words, .. } = &published;
    let with = |old: &str, new: &str| words.replace(old, new);
    let root = words.split(' ').find(|word| word.starts_with("root=")).expect("it names a root");
    let without_digest = with(root, root.split_once('@').expect("it has a digest").0);
    ends_with("n6", &published, &without_digest, &card, "has no digest");
    let elsewhere = "this machine has no network card with a driver in this initramfs";
    ends_with("n4-no-card", &published, words, &[], elsewhere);
    ends_with("n4-no-lease", &published, words, &card, "no server of DHCP gives an address within 20 s");
    let in_vlan = format!("{words} flipslot.net=dhcp:eth0.5");
    // The small image has no module for it.
    ends_with("n4-no-vlan", &published, &in_vlan, &card, "adding the VLAN 5, for which the kernel needs 8021q");
    lan.serve(&[]);
    // Enough to unpack the initramfs, with a flipslot that was not optimised in it.
    let little = [&card[..], &["-m", "256"]].concat();
    ends_with("n8", &published, words, &little, "of memory for it");
    let gone = with("/root.squashfs@", "/none.squashfs@");
    ends_with("n3-gone", &published, &gone, &card, "has no http://");
}

#[test]
#[ignore = "make test-all"]
fn a_machine_boots_with_an_address_of_its_own_or_by_ipv6() {
    let folder = tempfile::tempdir().expect("a folder to serve");
    let mut lan = Lan::new("nets", folder.path());
    let published = publish(&lan);
    lan.serve(&["--enable-ra", "--dhcp-range=fd77::,ra-only"]);
    let card = card();
    let card: Vec<&str> = card.iter().map(String::as_str).collect();
    let server_6 = format!("[{SERVER_6}]");
    for (name, server, net) in [("static", SERVER, "10.77.0.9/24,10.77.0.1"), ("ra", &server_6, "ra")] {
        let disk = Scratch::named(&format!("net-{name}.raw"));
        fs::write(&*disk, vec![0; 1 << 20]).expect("an empty disk can be made");
        let words = format!("{} flipslot.net={net}", published.words.replace(SERVER, server));
        let kernel = ["-kernel", &published.kernel, "-initrd", &published.initrd, "-append", &words];
        let more = [&kernel[..], &card].concat();
        let name = format!("net-{name}");
        let setup = Setup::once(&name, Firmware::Bios, Bus::VirtioBlk, &disk);
        let mut machine = Machine::start(&Setup { namespace: Some(&lan.namespace), more: &more, ..setup });
        machine.wait_for("login prompt", "rack1 login:");
        machine.log_in();
        assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
        assert_eq!(machine.run("ip -br address | grep -v lo | grep -E '10[.]|fd77|[.]5'"), "", "nothing is left of it");
    }
}
