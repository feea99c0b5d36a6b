//! Memory: no image, however it was made, takes more than a bounded amount of it.

use crate::support::layout::{ImageLayout, Packing};
use crate::support::program::{assert_nothing_left, tool};
use crate::support::tar::{Tar, dir, file};

/// What the program may take at its peak, in kB.
const MOST: u64 = 200 * 1024;

/// Runs the program and prints its peak and its exit code. Not as a child of the test: a child's peak
/// begins with that of the process that it comes from (getrusage(2)).
const MEASURE: &str = "import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, code)";

/// Runs `create` of an image and returns the peak of its resident memory, or of a program that it
/// runs, in kB, and its exit code.
fn peak(image: ImageLayout) -> (u64, u64) {
    let folder = tempfile::tempdir().unwrap();
    image.write(&folder.path().join("image"), "1");
    let program = env!("CARGO_BIN_EXE_flipslot");
    let disk = folder.path().join("d.raw").to_string_lossy().into_owned();
    let slot = format!("--slot=a=oci:{}:1", folder.path().join("image").display());
    let printed = tool("python3", &["-c", MEASURE, program, "create", &disk, "--size=600MiB", &slot]);
    assert_nothing_left(folder.path(), &["image"]);
    let (peak, code) = printed.trim().split_once(' ').unwrap();
    (peak.parse().unwrap(), code.parse().unwrap())
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
            assert_eq!(code, 1, "{name}");
            assert!(peak > 1024 && peak < MOST, "{name}: {peak} kB");
        }
    }
}
