//! Faults from the kernel to the root filesystem: kernel, modules, initramfs, drivers, command line.

use crate::check::case::{Case, all_must_be_found_alone};
use crate::check::sound;
use crate::check::sound::{VERSION, bzimage, device, modules, own_initramfs, without};
use crate::support::tar::{Item, dir, file, symlink, whiteout};
use serde_json::json;

const VMLINUZ: &str = "boot/vmlinuz-6.1.0-9";
const INITRD: &str = "boot/initrd.img-6.1.0-9";
const MODULES: &str = "usr/lib/modules";
const OWN: [&str; 2] = ["--initramfs=image", "--console=ttyS0"];

/// A layer that changes nothing: the fault is in the words.
const NONE: [Item; 0] = [];

fn kernel(change: impl FnOnce(&mut Vec<u8>)) -> [Item; 1] {
    let mut bytes = bzimage();
    change(&mut bytes);
    [file(VMLINUZ, bytes)]
}

pub fn cases() -> Vec<Case> {
    let long = format!("--kargs={}", "x".repeat(1900));
    let several = ["6.1.0-9", "6.12.0"].map(|version| file(format!("boot/vmlinuz-{version}"), bzimage()));
    let arm = [&[0; 56][..], b"ARM\x64", &[0; 4000]].concat();
    let of_another = [vec![whiteout(MODULES)], modules("6.1.0-8", "kernel/x.ko:\n")].concat();
    let short = |bytes: &mut Vec<u8>| bytes[0x238..0x23c].copy_from_slice(&255u32.to_le_bytes());
    let mut cases = vec![
        Case::new("kernel-missing", "none", [whiteout(VMLINUZ)], "no kernel"),
        Case::new("kernel-missing", "a directory", [whiteout(VMLINUZ), dir(VMLINUZ)], "no kernel"),
        Case::new("kernel-missing", "a link to nothing", [symlink(VMLINUZ, "gone")], "no kernel"),
        Case::new("kernel-several", "two", several, "2 kernels, and none of them was chosen"),
        Case::new("kernel-several", "another was asked for", NONE, "6.1.0-9")
            .words(&["--kernel=7.0", "--console=ttyS0"]),
        Case::new("kernel-format", "no bytes", [file(VMLINUZ, "")], "it is empty"),
        Case::new("kernel-format", "cut in its header", [file(VMLINUZ, &bzimage()[..0x220])], "or a damaged one"),
        Case::new("kernel-format", "for arm64", [file(VMLINUZ, arm)], "for arm64"),
        Case::new("kernel-format", "for 32 bits", kernel(|bytes| bytes[0x236] = 0), "32-bit x86"),
        Case::new("kernel-format", "an ELF file", [file(VMLINUZ, sound::fixed())], "an ELF file"),
        Case::new("kernel-format", "compressed", [file(VMLINUZ, b"\x1f\x8b\x08")], "compressed with gzip"),
        Case::new("kernel-format", "a text", [file(VMLINUZ, "kernel\n".repeat(200))], "no setup header"),
        Case::new("modules-missing", "none", [whiteout(MODULES)], "no modules of its kernel"),
        Case::new("modules-missing", "those of another kernel", of_another, "it has those of 6.1.0-8"),
        Case::new(
            "modules-missing",
            "no depmod",
            [whiteout(&format!("{MODULES}/{VERSION}/modules.dep"))],
            "no modules",
        ),
        Case::new("cmdline-length", "long words", NONE, "takes 2047").words(&[&long, "--console=ttyS0"]),
        Case::new("cmdline-length", "a kernel of 255 bytes", kernel(short), "takes 255"),
    ];
    for name in ["a $(reboot)", "x' }", "a; b", "a & b"] {
        let text = format!("PRETTY_NAME=\"{name}\"\n");
        cases.push(Case::new("title", "script", [file("usr/lib/os-release", text)], "os-release calls it"));
    }
    cases.extend(driver_cases());
    cases
}

fn driver_cases() -> Vec<Case> {
    let disk = |modalias: &str, module: &str| [device("possible", modalias, module)];
    let megaraid = "pci:v00001000d00000060sv0sd0bc01sc04i00";
    let mylex = "pci:v00001069d0000BA56sv0sd0bc01sc04i00";
    vec![
        Case::new(
            "driver-missing",
            "without the disk's module",
            without(&["virtio_blk"]),
            "the machine uses virtio_blk now",
        ),
        Case::new(
            "driver-missing",
            "a device that the kernel does not know",
            NONE,
            "the slot's kernel has none for it",
        )
        .machine(|machine| machine["devices"] = json!([device("boot", mylex, "myrb")])),
        Case::new(
            "driver-missing",
            "no disk of a kind of machines",
            without(&["virtio_blk"]),
            "no driver for any disk of",
        )
        .machine(|machine| machine["devices"] = json!(disk("virtio:d00000002v00001AF4", "virtio_blk"))),
        Case::new(
            "driver-missing",
            "the image's own initramfs lacks it",
            [own("virtio_blk")],
            "virtio_blk is only in the root filesystem",
        )
        .words(&OWN),
        Case::new(
            "driver-missing",
            "it lacks what the driver needs",
            [own("virtio")],
            "virtio_pci is only in the root filesystem",
        )
        .words(&OWN),
        Case::new("driver-missing", "it has the modules of another kernel", [other()], "only in the root filesystem")
            .words(&OWN)
            .machine(|machine| machine["devices"] = json!([device("boot", megaraid, "megaraid_sas")])),
        Case::new(
            "driver-missing",
            "lacks storage drivers",
            [own("virtio_blk")],
            "lacks storage drivers of its kernel: megaraid_sas, virtio_blk",
        )
        .words(&OWN)
        .machine(|machine| (machine["devices"], machine["storage"]) = (json!([]), json!("every-driver"))),
        Case::new("driver-root", "the kernel has none", without(&["ext4"]), "has no driver for ext4"),
        Case::new("driver-root", "the image's own initramfs lacks it", [own("ext4")], "it lacks ext4").words(&OWN),
        Case::new("driver-root", "it lacks what that needs", [own("jbd2")], "it lacks jbd2").words(&OWN),
        Case::new("driver-root", "another filesystem", NONE, "no driver for xfs")
            .words(&["--filesystem=xfs", "--console=ttyS0"]),
        Case::new("driver-network", "no module", without(&["virtio_net"]), "the machine uses virtio_net now"),
    ]
}

/// The image's own initramfs, without one of these drivers.
fn own(without: &str) -> Item {
    file(INITRD, own_initramfs(without, "cat"))
}

fn other() -> Item {
    let paths = sound::drivers("").into_iter().chain(["usr/lib/modules/6.1.0-8/kernel/megaraid_sas.ko".to_owned()]);
    let paths: Vec<String> = paths.collect();
    file(INITRD, sound::initramfs(&paths.iter().map(String::as_str).collect::<Vec<_>>(), "cat"))
}

pub fn initramfs_cases() -> Vec<Case> {
    let whole = own_initramfs("", "gzip");
    let case = |rule, what, bytes: &[u8], says| Case::new(rule, what, [file(INITRD, bytes)], says).words(&OWN);
    let plain = own_initramfs("", "cat");
    let mut absurd = plain.clone();
    // c_filesize of the first header (cpio(5)).
    absurd[54..62].copy_from_slice(b"ffffffff");
    let no_init: Vec<String> = sound::drivers("").into_iter().filter(|path| path != "init").collect();
    let no_init = sound::initramfs(&no_init.iter().map(String::as_str).collect::<Vec<_>>(), "cat");
    let zstd = own_initramfs("", "zstd");
    let large = [&plain[..], &vec![0; 12 << 20]].concat();
    let old = [
        vec![
            whiteout("boot"),
            dir("boot"),
            file("boot/vmlinuz-5.4.0", bzimage()),
            file("boot/initrd.img-5.4.0", of_5_4()),
        ],
        modules("5.4.0", DEP_5_4),
    ]
    .concat();
    vec![
        case("initramfs-damaged", "no bytes", b"", "0 bytes"),
        case("initramfs-damaged", "cut short", &whole[..whole.len() / 2], "reading the gzip stream"),
        case("initramfs-damaged", "a plain one, cut short", &plain[..plain.len() / 2], "cut short"),
        case("initramfs-damaged", "something else", b"<html>404</html>", "not an archive the kernel knows"),
        case("initramfs-damaged", "absurd sizes", &absurd, "which claims 4294967295 bytes"),
        case("initramfs-damaged", "no init in it", &no_init, "holds no /init"),
        case("initramfs-compression", "not in the kernel's config", &zstd, "built without CONFIG_RD_ZSTD"),
        Case::new("initramfs-compression", "an old kernel without a config", old, "kernel 5.4.0 does not know")
            .words(&OWN),
        case("initramfs-memory", "12 MiB in 16 MiB", &large, "the machine has 16MiB of memory")
            .machine(|machine| machine["memory"] = json!(16 << 20)),
        Case::new(
            "dracut-missing",
            "no dracut, no initramfs, and settings for dracut",
            [whiteout("usr/bin/dracut"), file("etc/dracut.conf.d/x.conf", "hostonly=yes\n")],
            "no dracut",
        ),
        Case::new(
            "dracut-missing",
            "one that cannot be executed",
            [file("usr/bin/dracut", "#!/bin/sh\n"), file("etc/dracut.conf.d/x.conf", "hostonly=yes\n")],
            "no dracut",
        ),
    ]
}

/// A kernel with all that the machine and its root need built in.
const DEP_5_4: &str = "kernel/drivers/virtio/virtio_pci.ko:\nkernel/drivers/block/virtio_blk.ko:\nkernel/drivers/net/virtio_net.ko:\nkernel/fs/ext4/ext4.ko:\n";

fn of_5_4() -> Vec<u8> {
    let module = |name: &str| format!("usr/lib/modules/5.4.0/{name}.ko");
    let paths = ["virtio_pci", "virtio_blk", "ext4"].map(module);
    let paths: Vec<&str> = paths.iter().map(String::as_str).chain(["init"]).collect();
    sound::initramfs(&paths, "zstd")
}

#[test]
fn f1_f2_f4_f17_what_keeps_a_kernel_from_its_root_is_found_and_nothing_else() {
    all_must_be_found_alone(cases());
}

#[test]
fn f3_f5_an_initramfs_that_cannot_be_made_or_unpacked_is_found_and_nothing_else() {
    all_must_be_found_alone(initramfs_cases());
}
