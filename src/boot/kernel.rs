//! The kernel of a slot: where images keep it, which one is meant, and whether it is one.

use crate::error::{Result, failed};
use crate::filesystem::Root;
use crate::layer::LayerPath;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::FileExt;

/// A kernel that was found in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// What `uname -r` will say, and what its modules' directory is called.
    pub version: String,
    /// Its path in the slot.
    pub path: String,
}

/// Finds the kernels of a slot, by version: in `/boot/vmlinuz-*` (Debian, Fedora, SUSE), in
/// `/usr/lib/modules/*/vmlinuz` (Fedora, ostree), in `/boot/<machine-id>/<version>/linux`
/// (kernel-install(8)). One that stands in several places is one kernel.
pub fn find(root: &Root) -> Result<Vec<Kernel>> {
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

/// The one kernel of those found, or the one of version `wanted`. Two and no choice is an error:
/// the first match would boot something else after the next update.
pub fn choose(kernels: &[Kernel], wanted: Option<&str>) -> Result<Kernel> {
    let versions = || kernels.iter().map(|kernel| kernel.version.as_str()).collect::<Vec<_>>().join(", ");
    match (wanted, kernels) {
        (None, [one]) => Ok(one.clone()),
        (None, several) => Err(failed(
            format!("the image has {} kernels and no rule says which one is meant: {}", several.len(), versions()),
            "choose one with --kernel VERSION (or --kernel SLOT=VERSION), or leave one in the image",
        )),
        (Some(wanted), _) => kernels.iter().find(|kernel| kernel.version == wanted).cloned().ok_or_else(|| {
            failed(
                format!("the image has no kernel {wanted}; it has: {}", versions()),
                "choose one of them with --kernel",
            )
        }),
    }
}

/// Checks that the kernel is an x86 bzImage with modules beside it; returns the longest command
/// line that it takes, in bytes.
pub fn check(root: &Root, kernel: &Kernel) -> Result<u32> {
    let path = LayerPath::clean(kernel.path.as_bytes())?;
    let file = root.file(&path).with_context(|| format!("opening the kernel {path}"))?;
    let mut setup = [0; 0x260];
    let length = file.read_at(&mut setup, 0).with_context(|| format!("reading the kernel {path}"))?;
    let longest = cmdline_size(&setup[..length]).ok_or_else(|| {
        let size = file.metadata().map(|meta| meta.len()).unwrap_or_default();
        failed(
            format!("{path} ({size} bytes) is no x86 Linux kernel (bzImage)"),
            "install a kernel for x86-64 in the image",
        )
    })?;
    if modules(root, kernel).is_none() {
        return Err(failed(
            format!("the kernel {} has no modules (no /lib/modules/{}/modules.dep)", kernel.version, kernel.version),
            "install the modules package of that kernel in the image, and run depmod there",
        ));
    }
    Ok(longest)
}

/// The folder of the kernel's modules in the slot, if there is one with a `modules.dep`.
pub fn modules(root: &Root, kernel: &Kernel) -> Option<String> {
    let folders = ["usr/lib/modules", "lib/modules"].map(|folder| format!("{folder}/{}", kernel.version));
    folders.into_iter().find(|folder| root.has_file(&format!("{folder}/modules.dep")))
}

/// Whether a kernel has a module of this name, built in or to be loaded (modules.dep(5); the name with
/// `_` or `-`).
pub fn has_module(root: &Root, kernel: &Kernel, name: &str) -> Result<bool> {
    /// More bytes than any of these lists has; Debian 13's have half a megabyte.
    const LONGEST: u64 = 16 << 20;
    let Some(folder) = modules(root, kernel) else { return Ok(false) };
    let wanted = name.replace('-', "_");
    let stem =
        |line: &str| line.split(':').next()?.rsplit('/').next()?.split(".ko").next().map(|stem| stem.replace('-', "_"));
    for list in ["modules.dep", "modules.builtin"] {
        let text = root.read(&format!("{folder}/{list}"), LONGEST)?.unwrap_or_default();
        if text.lines().any(|line| stem(line).as_deref() == Some(wanted.as_str())) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `cmdline_size` of the setup header, or what kernels before it had; `None` if this is no bzImage
/// (Documentation/arch/x86/boot.rst: boot_flag at 0x1fe, "HdrS" at 0x202, version at 0x206,
/// cmdline_size at 0x238 since protocol 2.06).
fn cmdline_size(setup: &[u8]) -> Option<u32> {
    let is_bzimage = setup.get(0x1fe..0x200)? == [0x55, 0xaa] && setup.get(0x202..0x206)? == *b"HdrS";
    let version = u16::from_le_bytes(setup.get(0x206..0x208)?.try_into().ok()?);
    let size = u32::from_le_bytes(setup.get(0x238..0x23c)?.try_into().ok()?);
    is_bzimage.then_some(if version >= 0x0206 { size } else { 255 })
}

/// Whether the kernel's config has `option=y`; `None` if the image does not carry the config.
pub fn has_option(root: &Root, kernel: &Kernel, option: &str) -> Result<Option<bool>> {
    let version = &kernel.version;
    let places = [
        format!("boot/config-{version}"),
        format!("usr/lib/modules/{version}/config"),
        format!("lib/modules/{version}/config"),
    ];
    for place in places {
        let place = LayerPath::clean(place.as_bytes())?;
        if let Ok(file) = root.file(&place) {
            let mut text = String::new();
            // 300 kB in Debian 13.
            file.take(4 << 20).read_to_string(&mut text).with_context(|| format!("reading {place}"))?;
            let line = format!("{option}=y");
            return Ok(Some(text.lines().any(|found| found == line)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(cmdline_size(&setup), Some(2047));
    }
}
