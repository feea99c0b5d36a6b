//! A small image in which no rule finds anything, made byte by byte; and what faults are made of.

use crate::support::layout::{ImageLayout, Packing};
use crate::support::tar::{Item, Tar, dir, file, symlink};
use serde_json::{Value, json};
use std::fs;
use std::fs::File;
use std::io::Read;

/// Its kernel.
pub const VERSION: &str = "6.1.0-9";

/// What its root password is hashed to; nobody has that password.
const SHADOW: &str = "root:$y$j9T$aaaaaaaaaaaaaaaaaaaaaa$bbbb:19000:0:99999:7:::\n";

const UNITS: [(&str, &str); 12] = [
    ("basic.target", "[Unit]\n"),
    ("multi-user.target", "[Unit]\n"),
    ("graphical.target", "[Unit]\n"),
    ("rescue.target", "[Unit]\n"),
    ("getty.target", "[Unit]\n"),
    ("getty@.service", "[Service]\nExecStart=-/sbin/agetty -o '-p -- \\\\u' --noclear %I $TERM\n"),
    ("serial-getty@.service", "[Service]\nExecStart=-/sbin/agetty --keep-baud 115200 %I $TERM\n"),
    ("ssh.service", "[Service]\nExecStart=/usr/sbin/sshd -D\n"),
    ("systemd-networkd.service", "[Service]\nExecStart=!!/usr/lib/systemd/systemd-networkd\n"),
    ("console-getty.service", ""),
    ("cloud-init.service", "[Service]\nExecStart=/usr/bin/cloud-init\n"),
    ("debug-shell.service", "[Service]\nExecStart=/bin/sh\n"),
];

pub const DEP: &str = "kernel/drivers/virtio/virtio.ko:
kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio.ko
kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko
kernel/drivers/net/virtio_net.ko: kernel/drivers/virtio/virtio.ko
kernel/drivers/scsi/megaraid/megaraid_sas.ko:
kernel/crypto/crc32c_generic.ko:
kernel/fs/jbd2/jbd2.ko:
kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko
";

const ALIAS: &str = "# Aliases extracted from modules themselves.
alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
alias virtio:d00000001v* virtio_net
alias virtio:d00000002v* virtio_blk
alias pci:v00001000d00000060sv*sd*bc*sc*i* megaraid_sas
alias crypto-crc32c crc32c_generic
";

/// All of the sound image, as one layer.
pub fn layer() -> Vec<Item> {
    let mut items = vec![dir("boot"), dir("etc"), dir("usr"), dir("usr/lib"), dir("usr/bin"), dir("usr/sbin")];
    items.extend([("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")].map(link));
    items.push(file(format!("boot/vmlinuz-{VERSION}"), bzimage()));
    items.push(file(format!("boot/config-{VERSION}"), "CONFIG_RD_GZIP=y\n# CONFIG_RD_ZSTD is not set\n"));
    items.extend(modules(VERSION, DEP));
    let units = "usr/lib/systemd/system";
    items.extend(UNITS.map(|(name, text)| file(format!("{units}/{name}"), text)));
    items.push(symlink(format!("{units}/default.target"), "multi-user.target"));
    for (target, unit) in [("multi-user", "ssh"), ("multi-user", "systemd-networkd"), ("getty", "getty@tty1")] {
        let template = if unit.starts_with("getty") { "getty@" } else { unit };
        let wants = format!("etc/systemd/system/{target}.target.wants/{unit}.service");
        items.push(symlink(wants, format!("/lib/systemd/system/{template}.service")));
    }
    items.push(program("usr/lib/systemd/systemd", dynamic()));
    items.push(program("usr/lib64/ld-linux-x86-64.so.2", fixed()));
    items.push(symlink("usr/sbin/init", "../lib/systemd/systemd"));
    items.push(program("usr/lib/systemd/system-generators/systemd-getty-generator", dynamic()));
    for script in ["usr/sbin/agetty", "usr/bin/login", "usr/bin/dracut", "usr/bin/sh"] {
        items.push(program(script, "#!/bin/sh\n"));
    }
    items.push(symlink("etc/os-release", "../usr/lib/os-release"));
    items.push(file("usr/lib/os-release", "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"));
    items.push(file("etc/fstab", "# <device> <place>\nproc /proc proc defaults 0 0\n"));
    items.push(file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"));
    items.push(file("etc/shadow", SHADOW).mode(0o640));
    items.push(file("etc/machine-id", ""));
    items
}

fn link((name, target): (&str, &str)) -> Item {
    symlink(name, target)
}

/// depmod's lists for a kernel that has these modules.
pub fn modules(version: &str, dep: &str) -> Vec<Item> {
    let lists = [
        ("dep", dep),
        ("alias", ALIAS),
        ("softdep", "softdep ext4 pre: crypto-crc32c\n"),
        ("builtin", "kernel/drivers/nvme/host/nvme.ko\n"),
        ("builtin.modinfo", "nvme.alias=pci:v*d*sv*sd*bc01sc08i02*\0nvme.license=GPL\0"),
    ];
    lists.map(|(name, text)| file(format!("usr/lib/modules/{version}/modules.{name}"), text)).into()
}

/// [`modules`] of the sound image's kernel, without the modules whose lines hold one of these words.
pub fn without(words: &[&str]) -> Vec<Item> {
    let dep = DEP.lines().filter(|line| !words.iter().any(|word| line.contains(word)));
    modules(VERSION, &dep.map(|line| format!("{line}\n")).collect::<String>())
}

/// The beginning of a kernel for x86-64 (Documentation/arch/x86/boot.rst).
pub fn bzimage() -> Vec<u8> {
    let mut head = vec![0; 4096];
    head[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    head[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
    head[0x236] = 1;
    head[0x238..0x23c].copy_from_slice(&2047u32.to_le_bytes());
    head
}

/// A file that can be executed.
pub fn program(name: &str, body: impl AsRef<[u8]>) -> Item {
    file(name, body).mode(0o755)
}

/// The beginning of a program that needs `/lib64/ld-linux-x86-64.so.2`.
pub fn dynamic() -> Vec<u8> {
    beginning_of("/bin/sh")
}

/// The beginning of a program that needs nothing.
pub fn fixed() -> Vec<u8> {
    beginning_of(env!("CARGO_BIN_EXE_flipslot"))
}

/// The same for another processor; `EM_AARCH64` is 183 (elf(5)).
pub fn for_arm() -> Vec<u8> {
    let mut bytes = fixed();
    bytes[0x12..0x14].copy_from_slice(&183u16.to_le_bytes());
    bytes
}

fn beginning_of(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    File::open(path).unwrap().take(8192).read_to_end(&mut bytes).unwrap();
    bytes
}

/// The sound image with more layers on top.
pub fn image(layers: &[Vec<Item>]) -> ImageLayout {
    let all = std::iter::once(layer()).chain(layers.iter().cloned());
    let packed: Vec<(Packing, Vec<u8>)> = all.map(|layer| (Packing::Gzip, Tar::of(layer))).collect();
    ImageLayout::new(&packed)
}

/// Its machine: a disk and a network card on virtio, a serial console, 1 GiB.
pub fn machine() -> Value {
    json!({
        "version": 1,
        "machine": "Test Machine",
        "consoles": ["ttyS0"],
        "memory": 1u64 << 30,
        "devices": [
            device("boot", "pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00", "virtio_pci"),
            device("boot", "virtio:d00000002v00001AF4", "virtio_blk"),
            device("network", "virtio:d00000001v00001AF4", "virtio_net"),
        ],
    })
}

/// A device that this driver has on the machine.
pub fn device(role: &str, modalias: &str, module: &str) -> Value {
    json!({ "path": format!("pci0000:00/{module}"), "modalias": modalias, "role": role, "driver": module, "module": module })
}

/// An initramfs with these files in it, as cpio makes it, and then through `compress`.
pub fn initramfs(paths: &[&str], compress: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let script = "cd \"$1\" && mkdir root && cd root && for path in $2; do mkdir -p \"$(dirname \"$path\")\" && : > \"$path\"; done \
         && find . | LC_ALL=C sort | cpio -o -H newc --quiet | $3 > ../out";
    let place = folder.path().to_string_lossy().into_owned();
    crate::support::program::tool("sh", &["-ec", script, "sh", &place, &paths.join(" "), compress]);
    fs::read(folder.path().join("out")).unwrap()
}

/// What the initramfs of the sound image must have, and a systemd without which nothing is added to it.
pub fn drivers(without: &str) -> Vec<String> {
    let modules = [
        "drivers/virtio/virtio",
        "drivers/virtio/virtio_pci",
        "drivers/block/virtio_blk",
        "crypto/crc32c_generic",
        "fs/jbd2/jbd2",
        "fs/ext4/ext4",
    ];
    let modules = modules.into_iter().filter(|module| !module.ends_with(&format!("/{without}")));
    let paths = modules.map(|module| format!("usr/lib/modules/{VERSION}/kernel/{module}.ko"));
    paths.chain(["init".to_owned()]).collect()
}

/// The image's own initramfs, without one of these drivers.
pub fn own_initramfs(without: &str, compress: &str) -> Vec<u8> {
    let paths = drivers(without);
    initramfs(&paths.iter().map(String::as_str).collect::<Vec<_>>(), compress)
}
