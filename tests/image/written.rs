//! What `image` writes: by nobody, the same bytes each time, described beside it, complete or not at all.

use crate::support::layout::{ImageLayout, Packing};
use crate::support::program::{Nobody, ended, flipslot, tool, unmount};
use crate::support::tar::{Tar, dir, file, symlink};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A root file, mounted by this machine's kernel.
pub struct Mounted(PathBuf);

impl Mounted {
    pub fn at(file: &Path, format: &str, place: &Path) -> Mounted {
        fs::create_dir_all(place).unwrap();
        let [file, at] = [file, place].map(|path| path.to_string_lossy().into_owned());
        tool("mount", &["-t", format, "-o", "ro,loop", &file, &at]);
        Mounted(place.to_owned())
    }

    pub fn place(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(&self.0);
    }
}

/// A small image at `image`, whose root directory and files are everyone's and no one's.
fn write_image(folder: &Path, acl: bool) {
    // acl(5) in its binary form, version 2: user rw, one more user r, group r, mask r, other none.
    const ACL: [u8; 44] = [
        2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 7, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 4,
        0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
    ];
    let log = file("etc/log", "words\n").mode(0o640).owner(3, 4);
    let items = [
        dir("./").mode(0o751).owner(1, 2).mtime(1000, 0),
        dir("etc").mode(0o700).mtime(2000, 0),
        if acl { log.xattr("system.posix_acl_access", ACL) } else { log },
        file("etc/large", "x".repeat(300_000)),
        symlink("link", "etc/log"),
    ];
    ImageLayout::new(&[(Packing::Gzip, Tar::of(items))]).write(&folder.join("image"), "1");
}

fn image(folder: &Path, out: &str, more: &[&str]) -> Value {
    let run = flipslot(folder, &[&["image", out, "oci:image:1", "--json", "--progress=none"], more].concat());
    run.must_end(0, &[]);
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn anybody_writes_the_same_bytes_twice_and_a_description() {
    let folder = tempfile::tempdir().unwrap();
    write_image(folder.path(), false);
    let nobody = Nobody::in_folder(folder.path());
    let home = &nobody.home;
    for (format, magic) in [("squashfs", &b"hsqs"[..]), ("erofs", &[0; 4][..])] {
        for out in ["home/one", "home/two"] {
            let run = nobody.flipslot(&["image", out, "oci:image:1", "--format", format, "--progress=none", "--yes"]);
            assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", run.stdout);
        }
        let bytes = fs::read(home.join("one")).unwrap();
        assert!(bytes.starts_with(magic), "{format}");
        assert!(bytes == fs::read(home.join("two")).unwrap(), "{format}: the same bytes");
        let described: Value = serde_json::from_slice(&fs::read(home.join("one.json")).unwrap()).unwrap();
        let digest = tool("sha256sum", &[&home.join("one").to_string_lossy()]);
        assert_eq!(described["file"]["digest"], format!("sha256:{}", &digest[..64]));
        assert_eq!(described["file"]["size"], bytes.len());
        assert_eq!(described["format"], format);
        assert!(described["least_memory"].as_u64().unwrap() > 256 << 20);
    }
    let mut left: Vec<_> = fs::read_dir(home).unwrap().flatten().map(|entry| entry.file_name()).collect();
    left.sort();
    assert_eq!(left, ["one", "one.json", "two", "two.json"], "nothing else is left");
}

#[test]
fn the_root_directory_and_acls_are_kept_where_the_format_has_them() {
    let folder = tempfile::tempdir().unwrap();
    write_image(folder.path(), true);
    for (format, left_out) in [("squashfs", 1), ("erofs", 0)] {
        assert_eq!(image(folder.path(), format, &["--format", format])["acls_left_out"], left_out);
        let mounted = Mounted::at(&folder.path().join(format), format, &folder.path().join("mounted"));
        let stat = |name: &str| tool("stat", &["-c", "%a %u %g %Y", &mounted.place().join(name).to_string_lossy()]);
        assert_eq!(stat("."), "751 1 2 1000\n", "{format}");
        assert_eq!(stat("etc"), "700 0 0 2000\n", "{format}");
        let acl =
            tool("getfattr", &["-m", "-", "--absolute-names", &mounted.place().join("etc/log").to_string_lossy()]);
        assert_eq!(acl.contains("system.posix_acl_access"), left_out == 0, "{format}: {acl}");
    }
}

#[test]
fn a_file_that_is_there_is_replaced_only_where_that_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    write_image(folder.path(), false);
    let run = |more: &[&str]| {
        flipslot(folder.path(), &[&["image", "out", "oci:image:1", "--format=erofs", "--progress=none"], more].concat())
    };
    fs::write(folder.path().join("out.json"), "mine").unwrap();
    run(&[]).must_end(3, &["out.json exists", "--yes"]);
    assert!(!folder.path().join("out").exists());
    run(&["--yes"]).must_end(0, &[]);
    let first = fs::read(folder.path().join("out")).unwrap();
    run(&[]).must_end(3, &["out exists"]);
    flipslot(folder.path(), &["image", "out", "oci:missing:1", "--yes", "--progress=none"]).must_end(3, &["missing"]);
    assert!(fs::read(folder.path().join("out")).unwrap() == first, "the old file is intact");
}

#[test]
fn without_a_program_that_writes_it_an_image_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    write_image(folder.path(), false);
    let empty = folder.path().join("no-programs");
    fs::create_dir(&empty).unwrap();
    #[allow(clippy::disallowed_methods)] // tests start programs by themselves
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flipslot"));
        command.args(["image", "out", "oci:image:1", "--progress=none"]).args(more);
        ended(command.current_dir(folder.path()).env("PATH", &empty))
    };
    run(&[]).must_end(3, &["no program of this machine writes such a squashfs", "install squashfs-tools-ng"]);
    run(&["--format=erofs", "--compress=lz4"]).must_end(3, &["mkfs.erofs", "--compress none"]);
    run(&["--format=erofs"]).must_end(0, &[]);
}
