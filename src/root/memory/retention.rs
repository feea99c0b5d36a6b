//! Selects which contents of an image are retained as its layers are read: those that a rule may read.

use crate::layer::LayerPath;
use crate::words::units::MIB;

/// The part of a file's content that is retained. Its name, metadata and size always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retain {
    /// No content at all.
    Nothing,
    /// The first bytes, at most this many: all of a file that is not longer.
    Head(u64),
    /// Everything, however long it is.
    All,
}

/// Selects by its path and mode what is retained of a file that a layer brings.
///
/// The path is the real one: links in the directories that lead there are followed, so with a merged `/usr`
/// it is `usr/lib/modules/…` whatever the layer says. The path is the one by which the content came; a hard
/// link or a link to it shares what was retained.
pub type Retention = fn(path: &LayerPath, mode: u32) -> Retain;

/// Beginning of a program or kernel, which says what it is: an ELF header with its program headers and the
/// interpreter's name (elf(5)), the first line of a script, a kernel's setup header
/// (Documentation/arch/x86/boot.rst).
const FIRST: Retain = Retain::Head(4096);
/// More than any file has that people or programs write into `/etc` to be read by lines. A longer file there
/// is a database.
const CONFIGURATION: Retain = Retain::Head(MIB);
/// Beginning of a unit, more than any unit has (systemd.unit(5)).
const UNIT: Retain = Retain::Head(64 * 1024);
/// Most that the rules read of a kernel's config, which has 300 kB in Debian 13.
const KERNEL_CONFIG: Retain = Retain::Head(4 * MIB);
/// Most that the rules read of a list of modules; the longest has 2 MB in Debian 13.
const MODULE_LIST: Retain = Retain::Head(16 * MIB);

/// Selects the contents that the rules read. A rule that reads another file needs a line here, or it gets an
/// error.
pub fn rules_read(path: &LayerPath, mode: u32) -> Retain {
    let parts: Vec<&[u8]> = path.as_bytes().split(|byte| *byte == b'/').collect();
    // Before the merge of /usr these were below the root; /usr/etc is where ostree keeps /etc.
    let parts = if parts[0] == b"usr" { &parts[1..] } else { &parts[..] };
    match parts {
        // fstab, os-release, machine-id, the links and drop-ins of units, dracut.conf.d, and so on.
        [b"etc", ..] => CONFIGURATION,
        // The file of os-release(5), to which /etc has a link.
        [b"lib", b"os-release"] => CONFIGURATION,
        // The kernels, also below /boot/<machine-id>/<version> (kernel-install(8)).
        [b"boot", .., name] if has_prefix(name, &[b"vmlinuz"]) || *name == b"linux" => FIRST,
        [b"boot", .., name] if has_prefix(name, INITRAMFS) => Retain::All,
        [b"boot", .., name] if has_prefix(name, &[b"config-"]) => KERNEL_CONFIG,
        [b"lib", b"modules", _, name] => beside_modules(name),
        // The units that the image brings, and their drop-ins.
        [b"lib", b"systemd", b"system", ..] => UNIT,
        // To see whether /sbin/init can run here and finds its interpreter: only links that may come later say
        // which file that is. Some interpreters cannot be executed themselves.
        [.., name] if mode & 0o111 != 0 || name.starts_with(b"ld-") => FIRST,
        _ => Retain::Nothing,
    }
}

/// Beginnings of an initramfs's name: in Debian and SUSE, and in Fedora and dracut. One that an image brings
/// is examined completely.
const INITRAMFS: &[&[u8]] = &[b"initrd", b"initramfs"];

/// Selects what is retained of a file in `/lib/modules/<version>`: Fedora keeps the kernel and its initramfs
/// there.
fn beside_modules(name: &[u8]) -> Retain {
    match name {
        b"modules.alias" | b"modules.dep" | b"modules.builtin" | b"modules.builtin.modinfo" | b"modules.softdep" => {
            MODULE_LIST
        }
        b"vmlinuz" => FIRST,
        b"config" => KERNEL_CONFIG,
        name if has_prefix(name, INITRAMFS) => Retain::All,
        _ => Retain::Nothing,
    }
}

fn has_prefix(name: &[u8], prefixes: &[&[u8]]) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(path: &str, mode: u32) -> Retain {
        rules_read(&LayerPath::clean(path.as_bytes()).unwrap(), mode)
    }

    #[test]
    fn what_the_rules_read_is_kept_with_and_without_a_merged_usr() {
        for usr in ["", "usr/"] {
            for (path, keep) in [
                ("etc/fstab", CONFIGURATION),
                ("etc/systemd/system/a.service.d/b.conf", CONFIGURATION),
                ("lib/os-release", CONFIGURATION),
                ("lib/modules/6.1/modules.dep", MODULE_LIST),
                ("lib/modules/6.1/modules.builtin.modinfo", MODULE_LIST),
                ("lib/modules/6.1/vmlinuz", FIRST),
                ("lib/modules/6.1/initramfs.img", Retain::All),
                ("lib/modules/6.1/config", KERNEL_CONFIG),
                ("lib/modules/6.1/kernel/fs/ext4/ext4.ko", Retain::Nothing),
                ("lib/modules/6.1/modules.dep.bin", Retain::Nothing),
                ("lib/systemd/system/multi-user.target.wants/a.service", UNIT),
                ("lib/x86_64-linux-gnu/ld-2.31.so", FIRST),
                ("lib/x86_64-linux-gnu/libc.so.6", Retain::Nothing),
                ("share/doc/x", Retain::Nothing),
            ] {
                assert_eq!(kept(&format!("{usr}{path}"), 0o644), keep, "{usr}{path}");
            }
            assert_eq!(kept(&format!("{usr}sbin/init"), 0o755), FIRST);
        }
    }

    #[test]
    fn kernels_are_known_by_their_beginning_and_every_initramfs_is_kept_whole() {
        for name in ["vmlinuz-6.1", "vmlinuz", "0123456789abcdef0123456789abcdef/6.1/linux"] {
            assert_eq!(kept(&format!("boot/{name}"), 0o600), FIRST, "{name}");
        }
        for name in ["initrd.img-6.1", "initrd-6.4-default", "initramfs-6.9.img", "0123/6.1/initrd"] {
            assert_eq!(kept(&format!("boot/{name}"), 0o600), Retain::All, "{name}");
        }
        assert_eq!(kept("boot/config-6.1", 0o644), KERNEL_CONFIG);
        assert_eq!(kept("boot/System.map-6.1", 0o600), Retain::Nothing);
    }
}
