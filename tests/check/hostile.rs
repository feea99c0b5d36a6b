//! Images that were made to be looked into: what they hold leads nowhere, ends never, or is enormous. An
//! error or a finding, and nothing of this machine's own files in it.

use crate::check::sound;
use crate::check::sound::{VERSION, modules};
use crate::support::layout::ImageLayout;
use crate::support::program::{Run, ended};
use crate::support::tar::{BLOCK, Item, Tar, block, character, dir, fifo, file, symlink};
use flipslot::boot::cmdline::Cmdline;
use flipslot::boot::initramfs_source::MadeBy;
use flipslot::boot::root_on::RootOn;
use flipslot::check::policy::Policy;
use flipslot::check::report::{Ask, Report};
use flipslot::check::subject::{ImageFacts, Initramfs, OLDEST_GRUB, Subject};
use flipslot::filesystem::kind::Filesystem;
use flipslot::hardware::Inventory;
use flipslot::root::mounted::directory::Root;
use flipslot::words::partuuid::PartUuid;
use flipslot::words::slot::Slot;
use std::fs;
use std::io::{Read, repeat};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Every file that a rule reads or looks at.
const READ: [&str; 21] = [
    "boot/vmlinuz-6.1.0-9",
    "boot/config-6.1.0-9",
    "boot/initrd.img-6.1.0-9",
    "usr/lib/modules/6.1.0-9/modules.dep",
    "usr/lib/modules/6.1.0-9/modules.alias",
    "usr/lib/modules/6.1.0-9/modules.softdep",
    "usr/lib/modules/6.1.0-9/modules.builtin",
    "usr/lib/modules/6.1.0-9/modules.builtin.modinfo",
    "etc/os-release",
    "etc/fstab",
    "etc/crypttab",
    "etc/passwd",
    "etc/shadow",
    "etc/machine-id",
    "etc/selinux/config",
    "etc/systemd/system/default.target",
    "etc/systemd/system/getty@tty1.service",
    "usr/lib/systemd/system/getty@.service",
    "usr/lib/systemd/systemd",
    "usr/sbin/init",
    "usr/lib64/ld-linux-x86-64.so.2",
];

/// What stands in a file of this machine that no image may show: words that each reader would repeat.
const SECRET: &str = "PRETTY_NAME=canary-7c1f\nUUID=canary-7c1f /x ext4 defaults\ndata UUID=canary-7c1f\n#!/canary-7c1f\nSELINUX=enforcing\n[Service]\nExecStart=/canary-7c1f\nkernel/canary-7c1f.ko:\n";
const CANARY: &str = "canary-7c1f";

/// A folder with a file beside the image, and the links to it that an image can hold.
fn trap() -> (TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let victim = folder.path().join("victim");
    fs::write(&victim, SECRET).unwrap();
    let absolute = victim.to_string_lossy().into_owned();
    let up = format!("{}{absolute}", "../".repeat(20).trim_end_matches('/'));
    let targets = vec![up, format!("/proc/self/root{absolute}"), "../../../../../../../../etc/shadow".into(), absolute];
    (folder, targets)
}

/// What can stand in place of a file.
fn odd(path: &str, targets: &[String]) -> Vec<Item> {
    let name = path.rsplit('/').next().unwrap();
    let links = targets.iter().map(|target| symlink(path, target)).chain([symlink(path, name), symlink(path, ".")]);
    // /dev/zero has no end; a block device may be a disk of this machine.
    links.chain([fifo(path), character(path, 1, 5), block(path, 7, 0), dir(path)]).collect()
}

/// Runs `check` of the sound image with a layer on top. A run that does not end by itself is ended.
fn check(folder: &Path, image: ImageLayout, more: &[&str]) -> Run {
    image.write(&folder.join("image"), "1");
    fs::write(folder.join("machine.json"), sound::machine().to_string()).unwrap();
    #[allow(clippy::disallowed_methods)] // tests start programs by themselves
    let mut command = Command::new("timeout");
    command.args(["300", env!("CARGO_BIN_EXE_flipslot"), "check", "oci:image:1", "--hardware=machine.json"]);
    ended(command.args(["--progress=none", "--console=ttyS0"]).args(more).current_dir(folder))
}

/// Fails unless a run ended in a verdict or a sentence, and showed nothing of this machine.
fn must_be_calm(run: &Run, what: &str) {
    assert!([0, 1].contains(&run.code), "{what}: {} {}{}", run.code, run.stdout, run.stderr);
    assert_eq!(run.code == 1, run.stderr.contains("next: "), "{what}: {}", run.stderr);
    let said = run.stdout.clone() + &run.stderr;
    must_be_ours(&said, what);
    assert!(said.len() < 100_000, "{what}: {} bytes", said.len());
    let control = said.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(control, None, "{what}: {said}");
}

fn must_be_ours(said: &str, what: &str) {
    // What a link says may be shown, what it leads to not.
    let lines = [SECRET.to_owned(), fs::read_to_string("/etc/shadow").unwrap()].join("");
    assert!(!said.contains(CANARY), "{what}: {said}");
    for line in lines.lines().filter(|line| line.len() > 12) {
        assert!(!said.contains(line), "{what}: {said}");
    }
}

#[test]
fn f16_links_out_loops_fifos_and_devices_in_an_image_end_in_a_sentence() {
    let (folder, targets) = trap();
    for path in READ {
        for item in odd(path, &targets) {
            let run = check(folder.path(), sound::image(&[vec![item.clone()]]), &["--initramfs=auto"]);
            must_be_calm(&run, &item.to_string());
        }
    }
}

/// What the rules say of a slot that is mounted at `place`.
fn report(place: &Path) -> Result<String, String> {
    let root = Root::open(place).unwrap();
    let machine = Inventory::parse(&sound::machine().to_string(), "machine").unwrap();
    let on = RootOn::Partition { partuuid: PartUuid::NONE, filesystem: Filesystem::Ext4 };
    let cmdline = Cmdline::new(Slot::at(0), &on, &["ttyS0".into()], "").unwrap();
    let looked = ImageFacts::of(&root, Some(VERSION)).and_then(|facts| {
        let initramfs = &Initramfs::read(&root, format!("boot/initrd.img-{VERSION}"), MadeBy::Image)?;
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
        Report::of(&subject, Ask::All, &Policy::default())
    });
    looked.map(|report| serde_json::to_string(&report).unwrap()).map_err(|error| format!("{error:#}"))
}

#[test]
fn f16_links_out_loops_fifos_and_devices_in_a_slot_end_in_a_sentence() {
    let (folder, targets) = trap();
    let place = folder.path().join("slot");
    let base = [sound::layer(), vec![file(format!("boot/initrd.img-{VERSION}"), sound::own_initramfs("", "cat"))]];
    extract(folder.path(), base.concat());
    assert!(report(&place).unwrap().starts_with("{\"findings\":[],"), "{:?}", report(&place));
    for path in READ {
        let whole = place.join(path);
        let kept = folder.path().join("kept");
        let before = fs::symlink_metadata(&whole).is_ok();
        if before {
            fs::rename(&whole, &kept).unwrap();
        }
        for item in odd(path, &targets) {
            extract(folder.path(), vec![item.clone()]);
            let said = report(&place).unwrap_or_else(|error| error);
            must_be_ours(&said, &item.to_string());
            if whole.is_symlink() || !whole.is_dir() { fs::remove_file(&whole) } else { fs::remove_dir(&whole) }
                .unwrap();
        }
        if before {
            fs::rename(&kept, &whole).unwrap();
        }
    }
    assert!(report(&place).unwrap().starts_with("{\"findings\":[],"), "all is as it was");
}

/// Unpacks a layer into `folder/slot` as tar does it.
fn extract(folder: &Path, layer: Vec<Item>) {
    fs::create_dir_all(folder.join("slot")).unwrap();
    fs::write(folder.join("layer.tar"), Tar::of(layer)).unwrap();
    let (tar, slot) = (folder.join("layer.tar"), folder.join("slot"));
    crate::support::program::tool("tar", &["-xf", &tar.to_string_lossy(), "-C", &slot.to_string_lossy()]);
}

#[test]
fn f16_two_gigabytes_of_aliases_end_in_a_sentence() {
    const SIZE: u64 = 2 << 30;
    let folder = tempfile::tempdir().unwrap();
    let path = format!("usr/lib/modules/{VERSION}/modules.alias");
    let header = file(path, "").claiming(SIZE.into()).bytes();
    let end = SIZE + 2 * BLOCK as u64;
    let mut image = sound::image(&[]);
    image.add_gzip(|| header.as_slice().chain(repeat(0).take(end)));
    let run = check(folder.path(), image, &[]);
    must_be_calm(&run, "2 GiB");
    run.must_end(1, &["modules.alias has 2GiB, more than the 16MiB that such a file may have"]);
}

#[test]
fn f16_lists_of_modules_that_would_take_for_ever_are_answered_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let list = |name: &str, text: String| file(format!("usr/lib/modules/{VERSION}/modules.{name}"), text);
    let lines = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let aliases = lines(300_000, &|n| format!("alias virtio*d*{n}*2v*[0-9]* virtio_blk\n"));
    let wishes = |n: usize| (0..30).map(|wish| format!(" w{n}x{wish}")).collect::<String>();
    let soft = lines(30_000, &|n| format!("softdep m{n} pre:{}\n", wishes(n)));
    let modules_of = |next: usize| lines(100_000, &|n| format!("k/m{n}.ko: k/m{}.ko\n", (n + 1) % next));
    let ext4 = "kernel/fs/ext4/ext4.ko: k/m0.ko\n";
    for (what, layer) in [
        ("aliases", vec![list("alias", aliases.clone())]),
        (
            "wishes that are no modules",
            vec![list("softdep", soft), list("alias", aliases), list("dep", modules_of(30_000) + ext4)],
        ),
        ("a circle of modules", vec![list("dep", modules_of(100_000) + ext4)]),
        (
            "one module that needs all",
            vec![list(
                "dep",
                modules_of(100_000) + "kernel/fs/ext4/ext4.ko:" + &lines(90_000, &|n| format!(" k/m{n}.ko")) + "\n",
            )],
        ),
    ] {
        let run = check(folder.path(), sound::image(&[layer]), &[]);
        must_be_calm(&run, what);
    }
    let many = lines(400_000, &|n| format!("alias x{n}* y\n"));
    let run = check(folder.path(), sound::image(&[vec![list("alias", many)]]), &[]);
    run.must_end(1, &["modules.alias has more than 1000000 words, more than any kernel's list has", "run depmod"]);
}

#[test]
fn f16_a_hundred_thousand_names_are_answered_in_a_few_words() {
    const MANY: usize = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let many = |name: &dyn Fn(usize) -> Item| (0..MANY).map(name).collect::<Vec<Item>>();
    for (what, layer) in [
        ("units", many(&|n| symlink(format!("etc/systemd/system/x{n}.target.wants"), "../.."))),
        ("host keys", many(&|n| file(format!("etc/ssh/ssh_host_{n}_key"), ""))),
        ("kernels", many(&|n| file(format!("boot/vmlinuz-{n}"), ""))),
        ("homes", many(&|n| symlink(format!("home/{n}"), format!("{}", (n + 1) % MANY)))),
        ("lines", vec![file("etc/fstab", "/dev/a b c\n".repeat(20_000)), file("etc/shadow", "a:!\n".repeat(MANY))]),
        ("module folders", many(&|n| dir(format!("usr/lib/modules/{n}")))),
    ] {
        let run = check(folder.path(), sound::image(&[layer]), &[]);
        must_be_calm(&run, what);
    }
}

#[test]
fn f16_f17_names_that_drive_a_terminal_are_shown_escaped() {
    let folder = tempfile::tempdir().unwrap();
    let esc = "\x1b]0;owned\x07\n";
    let layer = vec![
        file(format!("boot/vmlinuz-{esc}"), sound::bzimage()),
        file("usr/lib/os-release", format!("PRETTY_NAME=\"{esc}\"\n")),
        file(format!("etc/ssh/ssh_host_{esc}_key"), ""),
        symlink("etc/systemd/system/default.target", esc),
        symlink("usr/sbin/init", esc),
        file("etc/fstab", "/dev/\x1b[2J /x ext4\n"),
        file("usr/lib/systemd/system/getty@.service", "ExecStart=/\x1b[2J\n"),
        file("etc/systemd/system/serial-getty@.service", ""),
    ];
    let layer = [layer, modules(esc, "kernel/x.ko:\n")].concat();
    for more in [&[][..], &["--kernel=\x1b]0;owned\x07"], &["--json"]] {
        let run = check(folder.path(), sound::image(std::slice::from_ref(&layer)), more);
        assert_eq!(run.code, 1);
        must_be_calm(&run, "escapes");
    }
}
