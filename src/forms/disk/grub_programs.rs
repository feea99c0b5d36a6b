//! Makes GRUB's programs: the core for BIOS machines and the EFI application, both with every module that
//! `grub/` uses, so that nothing is loaded later.

use crate::chamber::{Chamber, Shape};
use crate::disk::new::layout::Layout;
use crate::error::{Result, failed};
use crate::filesystem::feature_table;
use crate::filesystem::feature_table::Version;
use crate::filesystem::kind::Filesystem;
use crate::mount::scratch::Scratch;
use crate::root::mounted::directory::Root;
use crate::root::tree::Tree;
use crate::tool::{Tool, is_installed};
use crate::words::region::Region;
use anyhow::Context;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Modules that `grub/` and the entries use, besides those that read slots. `biosdisk` is added for BIOS; for UEFI,
/// GRUB's core accesses disks itself.
const MODULES: [&str; 27] = [
    "part_gpt",
    "part_msdos",
    "fat",
    "squash4",
    "zstd",
    "gzio",
    "search",
    "search_fs_uuid",
    "configfile",
    "normal",
    "linux",
    "loadenv",
    "test",
    "echo",
    "serial",
    "terminal",
    "sleep",
    "reboot",
    "all_video",
    "regexp",
    "true",
    "read",
    "halt",
    "minicmd",
    "ls",
    "cat",
    "help",
];

/// Folders in which distributions keep GRUB's modules.
const FOLDERS: [&str; 2] = ["usr/lib/grub", "usr/share/grub2"];
/// Names that distributions give the program.
const PROGRAMS: [&str; 2] = ["grub-mkimage", "grub2-mkimage"];
/// Maximum size in bytes of a GRUB image that is read, more than any has (868 kB for UEFI).
const CORE_MAX: u64 = 16 << 20;
/// Hint for a missing GRUB: the packages to install.
pub const HINT: &str = "install GRUB's tools and modules: apt-get install grub-common grub-pc-bin grub-efi-amd64-bin \
                    (Fedora: grub2-tools grub2-pc-modules grub2-efi-x64-modules), here or in the image";

/// GRUB's programs, as written to a disk.
#[derive(Debug)]
pub struct Grub {
    /// Boot sector: the first 440 bytes of the disk; empty if a BIOS cannot boot from it.
    pub boot: Vec<u8>,
    /// Core image, with its own location written into it; empty if a BIOS cannot boot from the disk.
    pub core: Vec<u8>,
    /// EFI application: `EFI/BOOT/BOOTX64.EFI`.
    pub efi: Vec<u8>,
}

/// The programs as GRUB's tools make them.
struct Programs {
    boot: Vec<u8>,
    core: Vec<u8>,
    efi: Vec<u8>,
}

impl Grub {
    /// Makes the programs with this machine's GRUB, or with that of a slot with this `root`. Fails if neither has
    /// GRUB for both BIOS and UEFI.
    pub fn make(scratch: &Scratch, root: &Root, layout: &Layout) -> Result<Grub> {
        let Programs { boot, core, efi } = match here() {
            Some((program, modules)) => make_here(scratch, program, &modules, layout)?,
            None => make_in_slot(scratch, root, layout)?,
        };
        if layout.sector != BIOS_SECTOR {
            return Ok(Grub { boot: Vec::new(), core: Vec::new(), efi });
        }
        let (boot, core) = embed(boot, core, layout.core)?;
        Ok(Grub { boot, core, efi })
    }
}

/// Returns this machine's grub-mkimage, and the folder of its modules for BIOS and UEFI.
pub fn here() -> Option<(&'static str, PathBuf)> {
    let program = PROGRAMS.into_iter().find(|program| is_installed(program))?;
    let modules = modules_of(|file| Path::new("/").join(file).is_file())?;
    Some((program, Path::new("/").join(modules)))
}

/// Returns the version of this machine's GRUB, if its program prints one: "grub-mkimage (GRUB)
/// 2.06-13+deb12u2".
pub fn version() -> Option<Version> {
    let program = PROGRAMS.into_iter().find(|program| is_installed(program))?;
    let printed = Tool::new(program).arg("--version").run().ok()?;
    printed.stdout.split_whitespace().find_map(feature_table::version)
}

/// Size in bytes of the sectors that a BIOS can read (INT 13h); only UEFI reads those of 4096.
const BIOS_SECTOR: u64 = 512;

/// A platform: folder of its modules, and modules that only it needs for disks.
struct Platform {
    name: &'static str,
    disk: &'static [&'static str],
}

const BIOS: Platform = Platform { name: "i386-pc", disk: &["biosdisk"] };
const EFI: Platform = Platform { name: "x86_64-efi", disk: &[] };

impl Platform {
    /// Returns the prefix at which GRUB finds its config. Without a device it is on the partition that the program
    /// was loaded from, which only UEFI reports.
    fn prefix(&self, layout: &Layout) -> String {
        match self.name {
            name if name == EFI.name => "/grub".to_owned(),
            _ => format!("(,{}{})/grub", layout.table.in_grub(), layout.boot.number),
        }
    }
}

/// Returns the folder that has the modules of both platforms, if there is one.
fn modules_of(has: impl Fn(&str) -> bool) -> Option<&'static str> {
    let platforms = [&BIOS, &EFI];
    FOLDERS
        .into_iter()
        .find(|folder| platforms.iter().all(|platform| has(&format!("{folder}/{}/normal.mod", platform.name))))
}

fn arguments(platform: &Platform, modules: &str, output: &str, layout: &Layout) -> Vec<String> {
    let prefix = platform.prefix(layout);
    let folder = format!("{modules}/{}", platform.name);
    let mut all: Vec<String> =
        ["-O", platform.name, "-d", &folder, "-o", output, "-p", &prefix].map(ToOwned::to_owned).into();
    let of_slots = Filesystem::grub_modules();
    all.extend(platform.disk.iter().chain(&MODULES).chain(&of_slots).map(ToString::to_string));
    all
}

fn make_here(scratch: &Scratch, program: &str, modules: &Path, layout: &Layout) -> Result<Programs> {
    let image = |platform: &Platform| -> Result<Vec<u8>> {
        let output = scratch.path(platform.name);
        let arguments = arguments(platform, &modules.to_string_lossy(), &output.to_string_lossy(), layout);
        Tool::new(program).args(arguments).hint(HINT).run().context("making GRUB's image")?;
        fs::read(&output).context("reading GRUB's image")
    };
    let boot = fs::read(modules.join(BIOS.name).join("boot.img")).context("reading GRUB's boot sector")?;
    Ok(Programs { boot, core: image(&BIOS)?, efi: image(&EFI)? })
}

fn make_in_slot(scratch: &Scratch, root: &Root, layout: &Layout) -> Result<Programs> {
    let program = PROGRAMS.into_iter().find(|program| root.has_program(&format!("usr/bin/{program}")));
    let (program, modules) = program
        .zip(modules_of(|file| root.has_file(file)))
        .ok_or_else(|| failed("neither this machine nor the image has GRUB for both BIOS and UEFI", HINT))?;
    let chamber = Chamber::open(scratch, root, Shape::of_tools())?;
    let read = |path: &str| -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        chamber
            .file(path)?
            .take(CORE_MAX)
            .read_to_end(&mut bytes)
            .with_context(|| format!("reading {path} of the slot"))?;
        Ok(bytes)
    };
    let image = |platform: &Platform| -> Result<Vec<u8>> {
        let output = format!("/run/{}", platform.name);
        let arguments = arguments(platform, &format!("/{modules}"), &output, layout);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        chamber.run(program, &arguments).context("making GRUB's image")?;
        read(&output)
    };
    let (core, efi) = (image(&BIOS)?, image(&EFI)?);
    let boot = read(&format!("{modules}/{}/boot.img", BIOS.name))?;
    chamber.close()?;
    Ok(Programs { boot, core, efi })
}

/// Writes the location of the core into the boot sector, and the location of the rest of the core into the core
/// (GRUB: include/grub/i386/pc/boot.h and include/grub/offsets.h).
fn embed(mut boot: Vec<u8>, mut core: Vec<u8>, region: Region) -> Result<(Vec<u8>, Vec<u8>)> {
    /// Offset of the LBA of the core's first sector, a u64 (GRUB_BOOT_MACHINE_KERNEL_SECTOR).
    const KERNEL_SECTOR: usize = 0x5c;
    /// Offset of a jump that is replaced by two NOPs (0x90), so that GRUB believes the firmware's drive number;
    /// grub-install does the same on hard disks (GRUB_BOOT_MACHINE_DRIVE_CHECK).
    const DRIVE_CHECK: usize = 0x66;
    /// Offset of the first blocklist entry, a u64 LBA, at the end of the core's first sector (diskboot.img).
    const BLOCKLIST: usize = 0x1f4;
    /// Size in bytes of the boot code, which precedes the disk signature and the partition table.
    const BOOT_CODE: usize = 440;

    let sector = region.start / BIOS_SECTOR;
    if boot.len() < 512 || core.len() < 512 || core.len() as u64 > region.size {
        return Err(failed(
            format!(
                "GRUB's files have unusable sizes: {} bytes for the core, {} for the boot sector",
                core.len(),
                boot.len()
            ),
            HINT,
        ));
    }
    boot.truncate(BOOT_CODE);
    boot[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&sector.to_le_bytes());
    boot[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&[0x90, 0x90]);
    core[BLOCKLIST..BLOCKLIST + 8].copy_from_slice(&(sector + 1).to_le_bytes());
    Ok((boot, core))
}
