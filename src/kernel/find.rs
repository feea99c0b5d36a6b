//! Finds and chooses the kernel of a slot, and reads its setup header and its config.

use crate::error::{Result, failed};
use crate::root::tree::Tree;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A kernel that was found in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// Version as in `uname -r`, which is also the name of its modules' directory.
    pub version: String,
    /// Path in the slot.
    pub path: String,
}

/// Finds the kernels of a slot, sorted by version: in `/boot/vmlinuz-*` (Debian, Fedora, SUSE), in
/// `/usr/lib/modules/*/vmlinuz` (Fedora, ostree), in `/boot/<machine-id>/<version>/linux`
/// (kernel-install(8)). A version that is found in several of them is one kernel.
pub fn find(root: &dyn Tree) -> Result<Vec<Kernel>> {
    let mut found = BTreeMap::new();
    let mut add = |version: &str, path: String| {
        if root.has_file(&path) {
            found.entry(version.to_owned()).or_insert(path);
        }
    };
    let in_boot = root.list("boot")?;
    for name in &in_boot {
        let version = name.strip_prefix("vmlinuz-");
        // Fedora's rescue kernel is a copy of another one.
        if let Some(version) = version.filter(|version| !version.starts_with("0-rescue-")) {
            add(version, format!("boot/{name}"));
        }
    }
    for version in root.list("usr/lib/modules")?.into_iter().chain(root.list("lib/modules")?) {
        add(&version, format!("usr/lib/modules/{version}/vmlinuz"));
    }
    for folder in in_boot.iter().filter(|name| name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        for version in root.list(&format!("boot/{folder}"))? {
            add(&version, format!("boot/{folder}/{version}/linux"));
        }
    }
    Ok(found.into_iter().map(|(version, path)| Kernel { version, path }).collect())
}

/// Returns the only kernel, or the one of version `wanted`. Fails for several kernels without a choice: the
/// first match could be another one after the next update.
pub fn choose(kernels: &[Kernel], wanted: Option<&str>) -> Result<Kernel> {
    let versions = || kernels.iter().map(|kernel| kernel.version.as_str()).collect::<Vec<_>>().join(", ");
    match (wanted, kernels) {
        (None, [one]) => Ok(one.clone()),
        (None, several) => Err(failed(
            format!("the image has {} kernels, and none of them was chosen: {}", several.len(), versions()),
            "choose one with --kernel VERSION (or --kernel SLOT=VERSION), or keep only one in the image",
        )),
        (Some(wanted), _) => kernels.iter().find(|kernel| kernel.version == wanted).cloned().ok_or_else(|| {
            failed(
                format!("the image has no kernel {wanted}; it has: {}", versions()),
                "choose one of them with --kernel",
            )
        }),
    }
}

/// Number of bytes at the beginning of a kernel that contain its setup header
/// (Documentation/arch/x86/boot.rst).
pub const SETUP: u64 = 0x260;

/// Describes a file that is not an x86-64 kernel, by its first bytes.
pub fn what_it_is(head: &[u8]) -> &'static str {
    match head {
        [] => "it is empty",
        // Documentation/arch/arm64/booting.rst: magic at 56.
        _ if head.get(56..60) == Some(b"ARM\x64") => "it is a kernel for arm64",
        _ if head.get(0x202..0x206) == Some(b"HdrS") => "it is a 32-bit x86 kernel, or a damaged one",
        // elf(5), gzip (RFC 1952), the magic of a PE file.
        [0x7f, b'E', b'L', b'F', ..] => "it is an ELF file",
        [0x1f, 0x8b, ..] => "it is compressed with gzip",
        [b'M', b'Z', ..] => "it is an EFI program without a setup header",
        _ => "it has no setup header",
    }
}

/// Returns the folder of the kernel's modules in the slot, if there is one with a `modules.dep`.
pub fn modules(root: &dyn Tree, kernel: &Kernel) -> Option<String> {
    let folders = ["usr/lib/modules", "lib/modules"].map(|folder| format!("{folder}/{}", kernel.version));
    folders.into_iter().find(|folder| root.has_file(&format!("{folder}/modules.dep")))
}

/// Returns the maximum length in bytes of the command line: `cmdline_size` of the setup header, or 255 for
/// kernels that are too old to have it. `None` if this is not a 64-bit bzImage
/// (Documentation/arch/x86/boot.rst: boot_flag at 0x1fe, "HdrS" at 0x202, version at 0x206, xloadflags at
/// 0x236 since protocol 2.12, cmdline_size at 0x238 since 2.06).
pub fn cmdline_size(setup: &[u8]) -> Option<u32> {
    /// Bit in xloadflags of a kernel with a 64-bit entry point (`XLF_KERNEL_64`).
    const KERNEL_64: u8 = 1;
    let is_bzimage = setup.get(0x1fe..0x200)? == [0x55, 0xaa] && setup.get(0x202..0x206)? == *b"HdrS";
    let version = u16::from_le_bytes(setup.get(0x206..0x208)?.try_into().ok()?);
    let is_64 = version < 0x020c || setup.get(0x236)? & KERNEL_64 != 0;
    let size = u32::from_le_bytes(setup.get(0x238..0x23c)?.try_into().ok()?);
    (is_bzimage && is_64).then_some(if version >= 0x0206 { size } else { 255 })
}

/// Returns true if the kernel's config has `option=y`; `None` if the image does not have the config.
pub fn has_option(root: &dyn Tree, kernel: &Kernel, option: &str) -> Result<Option<bool>> {
    Ok(config(root, kernel)?.map(|config| {
        let line = format!("{option}=y");
        config.lines().any(|found| found == line)
    }))
}

/// Reads the kernel's config, if the image has it.
fn config(root: &dyn Tree, kernel: &Kernel) -> Result<Option<String>> {
    /// Maximum size in bytes of a config; Debian 13's has 300 kB.
    const LONGEST: u64 = 4 << 20;
    let version = &kernel.version;
    for place in [
        format!("boot/config-{version}"),
        format!("usr/lib/modules/{version}/config"),
        format!("lib/modules/{version}/config"),
    ] {
        if let Some(config) = root.read(&place, LONGEST)? {
            return Ok(Some(config));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::mounted::directory::Root;

    fn kernel(version: &str) -> Kernel {
        Kernel { version: version.to_owned(), path: format!("boot/vmlinuz-{version}") }
    }

    #[test]
    fn one_kernel_is_taken_and_several_are_listed() {
        let both = [kernel("5.10"), kernel("6.1")];
        assert_eq!(choose(&both[..1], None).unwrap(), both[0]);
        assert_eq!(choose(&both, Some("6.1")).unwrap(), both[1]);
        let text = format!("{:#}", choose(&both, None).unwrap_err());
        assert!(text.contains("5.10, 6.1"), "{text}");
        assert!(choose(&both, Some("6.12")).is_err());
    }

    #[test]
    fn kernels_are_found_where_distributions_keep_them() {
        let folder = tempfile::tempdir().unwrap();
        let id = "0123456789abcdef0123456789abcdef";
        for path in [
            "boot/vmlinuz-6.1",
            "boot/vmlinuz-0-rescue-x",
            "usr/lib/modules/6.1/vmlinuz",
            "usr/lib/modules/6.6/vmlinuz",
            &format!("boot/{id}/6.9/linux"),
        ] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "kernel").unwrap();
        }
        let found = find(&Root::open(folder.path()).unwrap()).unwrap();
        let paths: Vec<&str> = found.iter().map(|kernel| kernel.path.as_str()).collect();
        assert_eq!(paths, ["boot/vmlinuz-6.1", "usr/lib/modules/6.6/vmlinuz", &format!("boot/{id}/6.9/linux")]);
    }

    #[test]
    fn f1_what_is_no_bzimage_is_none() {
        assert_eq!(cmdline_size(b""), None);
        assert_eq!(cmdline_size(&[0; 0x260]), None);
        let mut setup = [0; 0x260];
        setup[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        setup[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
        setup[0x238..0x23c].copy_from_slice(&2047u32.to_le_bytes());
        assert_eq!(cmdline_size(&setup), None, "32 bits only");
        setup[0x236] = 1;
        assert_eq!(cmdline_size(&setup), Some(2047));
    }
}
