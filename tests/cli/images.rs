//! Images for the program's tests.

use crate::support::disk::{Disk, SLOT_A, folder_of_shared};
use crate::support::layout::{ImageLayout, Packing};
use crate::support::tar::{Tar, dir, file, symlink};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// An image that unpacks, but has neither kernel nor init nor dracut.
pub fn no_kernel() -> ImageLayout {
    no_kernel_as(Packing::Gzip)
}

/// The same, with its layer stored otherwise.
pub fn no_kernel_as(packing: Packing) -> ImageLayout {
    let release = "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
    let tar =
        Tar::of([dir("etc"), file("etc/os-release", release), dir("usr"), dir("usr/bin"), symlink("bin", "usr/bin")]);
    ImageLayout::new(&[(packing, tar)])
}

/// An image with one layer of `size` random bytes, which do not compress.
pub fn bulky(size: usize) -> ImageLayout {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    })
    .take(size)
    .collect();
    ImageLayout::new(&[(Packing::Plain, Tar::of([dir("etc"), file("etc/bulk", bytes)]))])
}

/// The layout of a real Debian 12 that boots on QEMU's machines with an initramfs of its own, made once a run;
/// it reads all filesystems that a slot may have.
///
/// Most tests are not about dracut, which takes longer than all else that a slot is made of. Those that are
/// take [`debian_without_initramfs`].
pub fn debian() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let base = debian_without_initramfs();
        let folder = folder_of_shared().join("images");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let drivers = file("etc/dracut.conf.d/filesystems.conf", "add_drivers+=\" xfs btrfs \"\n");
        ImageLayout::over(&base, &[Tar::of([drivers])]).write(&folder.join("all-filesystems"), "latest");
        let disk = Disk::made(&folder.join("all-filesystems"), &[]);
        let initramfs = disk.look_into(&SLOT_A, initramfs_of);
        let layout = folder.join("debian");
        // Read faster than the base's gzip.
        ImageLayout::over(&base, &[initramfs]).repacked(Packing::Zstd).write(&layout, "latest");
        layout
    })
    .clone()
}

/// A layer with the initramfs of a slot, where Debian has it.
fn initramfs_of(root: &Path) -> Vec<u8> {
    let names = fs::read_dir(root.join("boot")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let name = names.filter(|name| name.starts_with("initramfs-")).min_by_key(String::len).expect("dracut made one");
    let version = name.trim_start_matches("initramfs-").trim_end_matches(".img");
    Tar::of([file(format!("boot/initrd.img-{version}"), fs::read(root.join("boot").join(&name)).unwrap())])
}

/// The layout of a real Debian 12 for which dracut makes the initramfs, built by the recipe of the VM tests.
pub fn debian_without_initramfs() -> PathBuf {
    debian_called("bookworm")
}

/// The same of another release: bullseye, with Linux 5.10.
#[allow(clippy::disallowed_methods)] // tests start programs by themselves
pub fn debian_called(release: &str) -> PathBuf {
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("vm/images/build.sh");
    let output = Command::new(recipe).arg(release).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
