//! Memory: no image, however it was made, takes more than a bounded amount of it.

use crate::support::layout::{ImageLayout, Packing};
use crate::support::program::{assert_nothing_left, command};
use crate::support::tar::{Tar, dir, file};
use std::process::Stdio;
use std::time::Duration;

/// What the program may take at its peak, in kB.
const MOST: u64 = 200 * 1024;

/// Runs `create` of an image and returns the peak of its resident memory in kB, and its exit code.
fn peak(image: ImageLayout) -> (u64, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    image.write(&folder.path().join("image"), "1");
    let mut create = command(folder.path(), &["create", "d.raw", "--size=600MiB", "--slot=a=oci:image:1"]);
    let mut child = create.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let text = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(peak).max(peak);
        std::thread::sleep(Duration::from_millis(2));
    };
    assert_nothing_left(folder.path(), &["image"]);
    (peak, status.code())
}

#[test]
fn b5_bombs_and_windows_stay_below_200_mb() {
    // 1000:1: zeros as a file that claims to be larger than the slot, and after the archive's end.
    let huge = Tar::default().add(dir("etc")).add(file("etc/zeros", vec![0; 300 << 20])).finish();
    let mut trailing = Tar::of([dir("etc")]);
    trailing.resize(1 << 30, 0);
    for (name, tar) in [("file", huge), ("trailing zeros", trailing)] {
        for packing in [Packing::Gzip, Packing::Zstd] {
            let (peak, code) = peak(ImageLayout::new(&[(packing, tar.clone())]));
            assert_eq!(code, Some(1), "{name}");
            assert!(peak > 1024 && peak < MOST, "{name}: {peak} kB");
        }
    }
}
