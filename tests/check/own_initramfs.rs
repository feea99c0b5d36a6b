//! `--initramfs`: the image's own is used as it is if it fits, with flipslot's units behind it; else its
//! dracut makes one, and flipslot says why.

use crate::check::sound;
use crate::check::sound::{VERSION, device};
use crate::cli::images;
use crate::support::disk::{Disk, SLOT_A, SLOT_B};
use crate::support::layout::ImageLayout;
use crate::support::program::{assert_nothing_left, tool};
use crate::support::tar::{Item, Tar, file, whiteout};
use flipslot::boot::cmdline::Cmdline;
use flipslot::boot::initramfs_source::{MadeBy, Source};
use flipslot::boot::root_on::RootOn;
use flipslot::check::initramfs_choice::{Chosen, choose};
use flipslot::check::policy::Policy;
use flipslot::check::subject::{ImageFacts, Initramfs, OLDEST_GRUB, Subject};
use flipslot::filesystem::kind::Filesystem;
use flipslot::hardware::Inventory;
use flipslot::initramfs::read::contents::Contents;
use flipslot::root::mounted::directory::Root;
use flipslot::words::partuuid::PartUuid;
use flipslot::words::slot::Slot;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const UNIT: &str = "usr/lib/systemd/system/flipslot-deadline.service";

/// The initramfs in the slot, and the version of its kernel.
fn initramfs_of(root: &Path, start: &str) -> (Vec<u8>, String) {
    let names = fs::read_dir(root.join("boot")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let name = names.filter(|name| name.starts_with(start)).min_by_key(String::len).expect("there is one");
    let version = name.strip_prefix(start).unwrap().strip_suffix(".img").unwrap().to_owned();
    (fs::read(root.join("boot").join(name)).unwrap(), version)
}

/// A machine whose disk hangs on a controller that QEMU's machines do not have.
fn megaraid(folder: &Path) -> String {
    let path = folder.join("megaraid.json");
    let modalias = "pci:v00001000d00000060sv00001014sd00000363bc01sc04i00";
    let machine = json!({ "version": 1, "machine": "RAID", "consoles": ["ttyS0"], "devices": [device("boot", modalias, "megaraid_sas")] });
    fs::write(&path, machine.to_string()).unwrap();
    format!("--hardware={}", path.display())
}

#[test]
fn f4_an_images_own_initramfs_is_taken_if_it_fits_and_else_dracut_makes_one() {
    let disk = Disk::made(&images::debian_without_initramfs(), &[]);
    let (own, version) = disk.look_into(&SLOT_A, |root| initramfs_of(root, "initramfs-"));
    let folder = tempfile::tempdir().unwrap();
    let layer = Tar::of([file(format!("boot/initrd.img-{version}"), &own)]);
    ImageLayout::over(&images::debian_without_initramfs(), &[layer]).write(&folder.path().join("image"), "own");
    let image = format!("oci:{}:own", folder.path().join("image").display());
    let slot = |disk: &Disk| disk.status()["slots"][1].clone();
    let result = |run: &crate::support::program::Run| -> Value { serde_json::from_str(&run.stdout).unwrap() };

    let run = disk.flash(&image, "b", &["--json"]);
    run.must_end(0, &[]);
    assert_eq!(slot(&disk)["initramfs_by"], "image", "{}", disk.status());
    let steps = result(&run)["phases"].to_string();
    assert!(steps.contains("taking the image's initramfs") && !steps.contains("making the initramfs"), "{steps}");
    let (taken, _) = disk.look_into(&SLOT_B, |root| initramfs_of(root, "initramfs-flipslot-"));
    assert!(taken.starts_with(&own) && taken.len() > own.len(), "the image's own comes first, as it is");
    let (whole, before) = (Contents::read(&taken[..]).unwrap(), Contents::read(&own[..]).unwrap());
    assert!(whole.has(UNIT) && whole.parts.len() == before.parts.len() + 1);
    assert!(
        Contents::read(&taken[own.len().next_multiple_of(4)..]).unwrap().has(UNIT),
        "what was added brings the unit by itself"
    );

    let raid = megaraid(folder.path());
    disk.flash(&image, "b", &[&raid, "--initramfs=image"])
        .must_end(1, &["megaraid_sas is only in the root filesystem", "[driver-missing]", "--fix driver-missing"]);
    let run = disk.flash(&image, "b", &[&raid, "--json"]);
    run.must_end(0, &[]);
    assert_eq!(slot(&disk)["initramfs_by"], "dracut");
    assert!(run.stdout.contains("the image's own is unsuitable: "), "{}", run.stdout);
    assert!(run.stdout.contains("megaraid_sas is only in the root filesystem"), "{}", run.stdout);
    let run = disk.flash(&image, "b", &[&raid, "--initramfs=image", "--fix=driver-missing"]);
    run.must_end(0, &[]);
    assert_eq!(slot(&disk)["fixed"][0]["rule"], "driver-missing");
    let made = disk.look_into(&SLOT_B, |root| initramfs_of(root, "initramfs-")).0;
    assert!(Contents::read(&made[..]).unwrap().modules(&version).contains("megaraid_sas"));

    let without = format!("oci:{}:latest", images::debian_without_initramfs().display());
    disk.flash(&without, "b", &["--initramfs=image"]).must_end(1, &["no initramfs of its own", "--initramfs dracut"]);
    assert_nothing_left(disk.folder(), &[crate::support::disk::NAME]);
}

/// What is chosen for the sound image with an initramfs of its own.
fn chosen(own: Vec<u8>, more: Vec<Item>, source: Source, fix: &[&str]) -> Chosen {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("boot/initrd.img-{VERSION}");
    let mut machine = sound::machine();
    machine["memory"] = json!(16 << 20);
    fs::write(folder.path().join("layer.tar"), Tar::of([sound::layer(), vec![file(&path, own)], more].concat()))
        .unwrap();
    fs::create_dir(folder.path().join("slot")).unwrap();
    let name = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    tool("tar", &["-xf", &name("layer.tar"), "-C", &name("slot")]);
    let root = Root::open(&folder.path().join("slot")).unwrap();
    let machine = Inventory::parse(&machine.to_string(), "machine").unwrap();
    let on = RootOn::Partition { partuuid: PartUuid::NONE, filesystem: Filesystem::Ext4 };
    let cmdline = Cmdline::new(Slot::at(0), &on, &[], "").unwrap();
    let facts = ImageFacts::of(&root, None).unwrap();
    let initramfs = &Initramfs::read(&root, path, MadeBy::Image).unwrap();
    let (facts, inventory, grub) = (&facts, &machine, OLDEST_GRUB);
    let subject = Subject {
        tree: &root,
        facts,
        inventory,
        cmdline,
        on,
        features: None,
        grub,
        names: None,
        in_memory: None,
        initramfs,
    };
    let fix: Vec<String> = fix.iter().map(ToString::to_string).collect();
    choose(&subject, source, &Policy::new(&fix, &[]).unwrap()).unwrap()
}

#[test]
fn each_fault_of_an_initramfs_makes_dracut_the_choice_where_that_is_allowed() {
    let large = [sound::own_initramfs("", "cat"), vec![0; 12 << 20]].concat();
    for (rule, own) in [
        ("initramfs-damaged", b"junk".to_vec()),
        ("initramfs-compression", sound::own_initramfs("", "zstd")),
        ("initramfs-memory", large),
        ("driver-missing", sound::own_initramfs("virtio_blk", "gzip")),
        ("driver-root", sound::own_initramfs("ext4", "gzip")),
    ] {
        let auto = chosen(own.clone(), Vec::new(), Source::Auto, &[]);
        assert_eq!((auto.by, auto.fixed.len()), (MadeBy::Dracut, 0), "{rule}");
        assert!(auto.why.starts_with("the image's own is unsuitable: "), "{rule}: {}", auto.why);
        let kept = chosen(own.clone(), Vec::new(), Source::Image, &[]);
        assert_eq!((kept.by, kept.fixed.len()), (MadeBy::Image, 0), "{rule}");
        let fixed = chosen(own, Vec::new(), Source::Image, &[rule]);
        let rules: Vec<&str> = fixed.fixed.iter().map(|fixed| fixed.rule.as_str()).collect();
        assert_eq!((fixed.by, rules), (MadeBy::Dracut, vec![rule]));
    }
    let by = |own: Vec<u8>, source| chosen(own, Vec::new(), source, &[]).by;
    assert_eq!(by(sound::own_initramfs("", "gzip"), Source::Auto), MadeBy::Image);
    assert_eq!(by(sound::own_initramfs("", "gzip"), Source::Image), MadeBy::Image);
}

/// The rules that a new initramfs mends, as [`each_fault_of_an_initramfs_makes_dracut_the_choice_where_that_is_allowed`]
/// has them.
pub const MENDED: [&str; 5] =
    ["initramfs-damaged", "initramfs-compression", "initramfs-memory", "driver-missing", "driver-root"];

#[test]
fn without_a_dracut_flipslot_makes_another_unless_the_image_has_settings_for_dracut() {
    let own = || file(format!("boot/initrd.img-{VERSION}"), sound::own_initramfs("ext4", "cat"));
    let checked = |more: Vec<Item>, words: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let layer = [vec![whiteout("usr/bin/dracut"), own()], more].concat();
        crate::check::case::write(folder.path(), &[layer], &sound::machine());
        crate::check::case::check(folder.path(), &[&["--console=ttyS0"], words].concat())
    };
    let run = checked(Vec::new(), &[]);
    assert_eq!(run.code, 0, "{}", run.stdout);
    let said: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(said["initramfs_by"], "flipslot");
    assert!(said["initramfs_why"].to_string().contains("and no dracut"), "{said}");
    for more in [
        file("etc/dracut.conf.d/raid.conf", "mdadmconf=yes\n"),
        file("etc/crypttab", "# x\nroot UUID=1 none luks,x-initrd.attach\n"),
    ] {
        let run = checked(vec![more], &["--fix=driver-root"]);
        assert_eq!(run.code, 1, "{}", run.stdout);
        assert_eq!(crate::check::case::findings(&run)[0]["outcome"], "open");
    }
}
