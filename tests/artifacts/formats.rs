//! The name of a disk file says its format.

use crate::artifacts::{BOOT, Lab, MIB, SIZE, SLOT, bytes, files_of, must_be_whole, names};
use crate::support::program::{assert_nothing_left, tool};

/// A time that all of them are made at, so that they are the same disk.
const EPOCH: &str = "1700000000";

/// Fails unless both are the same disk but for how its root filesystem is arranged.
fn must_be_the_same(one: &str, other: &str) {
    for part in [0..BOOT.end, SLOT.end..SIZE] {
        assert!(bytes(one, &part) == bytes(other, &part), "{one} and {other} differ within MiB {part:?}");
    }
    assert_eq!(files_of(one, &SLOT), files_of(other, &SLOT));
}

#[test]
fn qcow2_vmdk_and_vhdx_hold_the_disk_that_the_raw_file_is() {
    let lab = Lab::new();
    lab.create_at(EPOCH, "d.raw", &[]);
    must_be_whole(&lab.path("d.raw"));
    for format in ["qcow2", "vmdk", "vhdx"] {
        let name = format!("d.{format}");
        let run = lab.create_at(EPOCH, &name, &["--json"]);
        assert!(run.stdout.contains("converting the disk"), "{}", run.stdout);
        let info = tool("qemu-img", &["info", &lab.path(&name)]);
        assert!(info.contains(&format!("file format: {format}\n")), "{info}");
        assert!(info.contains(&format!("({} bytes)", SIZE * MIB)), "{info}");
        tool("qemu-img", &["check", "-f", format, &lab.path(&name)]);
        tool("qemu-img", &["convert", "-f", format, "-O", "raw", &lab.path(&name), &lab.path("back.raw")]);
        must_be_the_same(&lab.path("d.raw"), &lab.path("back.raw"));
        assert_eq!(tool("stat", &["-c", "%a", &lab.path(&name)]).trim(), "644");
    }
    assert_nothing_left(&lab.out(), &["back.raw", "d.qcow2", "d.raw", "d.vhdx", "d.vmdk"]);
}

#[test]
fn a_vmdk_says_its_own_name_in_itself() {
    let lab = Lab::new();
    lab.create("golden.vmdk", &[]).must_end(0, &[]);
    let info = tool("qemu-img", &["info", &lab.path("golden.vmdk")]);
    assert!(info.contains("filename: golden.vmdk\n") || info.contains("/golden.vmdk\n"), "{info}");
    let head = std::fs::read(lab.path("golden.vmdk")).unwrap()[..2048].to_vec();
    assert!(String::from_utf8_lossy(&head).contains("SPARSE \"golden.vmdk\""), "VMware looks for that name");
}

#[test]
fn a_compressed_disk_is_whole_for_zstd_and_says_its_size() {
    let lab = Lab::new();
    lab.create_at(EPOCH, "d.raw", &[]);
    lab.create_at(EPOCH, "d.raw.zst", &[]);
    tool("zstd", &["-t", "-q", &lab.path("d.raw.zst")]);
    let about = tool("zstd", &["-l", "-v", &lab.path("d.raw.zst")]);
    assert!(about.contains(&format!("({} B)", SIZE * MIB)), "{about}");
    tool("zstd", &["-d", "-q", "--sparse", &lab.path("d.raw.zst"), "-o", &lab.path("back.raw")]);
    must_be_the_same(&lab.path("d.raw"), &lab.path("back.raw"));
    let small = std::fs::metadata(lab.path("d.raw.zst")).unwrap().len();
    // The most of it is flipslot itself, which the tests build without optimising it.
    assert!(small < 32 * MIB, "{small} bytes");
}

#[test]
fn a_name_that_promises_another_format_is_a_wrong_command_line() {
    let lab = Lab::new();
    for name in ["d.vdi", "d.raw.gz", "d.vhd"] {
        lab.create(name, &[]).must_end(2, &["is not a supported format", ".qcow2"]);
    }
    assert!(names(&lab.out()).is_empty());
}
