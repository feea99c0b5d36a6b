//! Images for the program's tests.

use crate::support::layout::{ImageLayout, Packing};
use crate::support::tar::{Tar, dir, file, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// The layout of a real Debian 12 that boots, built by the recipe of the VM tests.
pub fn debian() -> PathBuf {
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
