//! What a host has beyond its image: one layer, for that image and no other one.

use super::{MAC, bootable, netboot, script};
use crate::check::{case, sound};
use crate::support::program::{Run, tool};
use crate::support::tar::{Item, character, dir, file, hardlink, symlink};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Writes the image `image:1`, and `host/image:1`, which has one more layer.
fn write(folder: &Path, more: &[Item]) {
    let base = bootable(&[
        file("etc/motd", "one"),
        file("etc/old/a", "a"),
        file("etc/old/b", "b"),
        file("srv/x", "x"),
        file("srv/y/z", "z"),
        file("srv/f", "f"),
        file("srv/p/a", ""),
        file("srv/p-data", ""),
    ]);
    case::write(folder, std::slice::from_ref(&base), &sound::machine());
    fs::create_dir_all(folder.join("host")).unwrap();
    case::write(&folder.join("host"), &[base, more.to_vec()], &sound::machine());
}

fn published(folder: &Path, more: &[&str]) -> Run {
    let host = format!("--host=rack1=web,mac={},layer=oci:host/image:1", MAC.replace('-', ":"));
    netboot(folder, &[&["--image=web=oci:image:1", &host], more].concat())
}

fn layer(folder: &Path, run: &Run) -> PathBuf {
    run.must_end(0, &[]);
    let result: Value = serde_json::from_str(&run.stdout).unwrap();
    folder.join("served/layers").join(result["hosts"][0]["layer"].as_str().unwrap())
}

#[test]
fn a_layer_has_what_the_host_adds_changes_and_removes_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let more = [
        file("etc/motd", "two"),
        file("etc/.wh.old", ""),
        file("srv/x", "x"),
        dir("srv/kept"),
        file("srv/kept/a", "same"),
        hardlink("srv/kept/b", "srv/kept/a"),
        symlink("etc/link", "/srv/kept/a"),
        file("var/lib/.wh..wh..opq", ""),
        character("dev/special", 10, 200),
        file("srv/y", "a file where a directory was"),
        dir("srv/f"),
        file("srv/.wh.p", ""),
        file("srv/.wh.p-data", ""),
        file("srv/f/g", "a directory where a file was"),
    ];
    write(folder.path(), &more);
    let run = published(folder.path(), &[]);
    let path = layer(folder.path(), &run);
    let out = folder.path().join("out");
    tool("unsquashfs", &["-q", "-n", "-d", &out.to_string_lossy(), &path.to_string_lossy()]);
    let result: Value = serde_json::from_str(&run.stdout).unwrap();
    let root = result["images"][0]["root"]["digest"].as_str().unwrap();
    assert_eq!(fs::read_to_string(out.join("base")).unwrap(), format!("{root}\n"));
    let listed = tool("sh", &["-c", "cd \"$1/files\" && find . -not -type d | sort", "sh", &out.to_string_lossy()]);
    assert_eq!(
        listed.lines().collect::<Vec<_>>(),
        [
            "./dev/special",
            "./etc/link",
            "./etc/motd",
            "./etc/old",
            "./srv/f/g",
            "./srv/kept/a",
            "./srv/kept/b",
            "./srv/p",
            "./srv/p-data",
            "./srv/x",
            "./srv/y"
        ]
    );
    let found = |path: &str| fs::symlink_metadata(out.join("files").join(path)).unwrap();
    assert_eq!((found("etc/old").rdev(), found("etc/old").mode() & 0o170_000), (0, 0o020_000), "it hides the folder");
    assert_eq!(found("srv/kept/a").ino(), found("srv/kept/b").ino());
    let digest = tool("sha256sum", &[&path.to_string_lossy()]);
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let word = format!(" flipslot.host-layer=http://10.0.0.1/boot/layers/{name}@sha256:{}", &digest[..64]);
    assert!(script(folder.path()).contains(&word), "{}", script(folder.path()));
    let again = published(folder.path(), &[]);
    again.must_end(0, &[]);
    assert!(
        again.stdout.contains("\"changed\": false") || again.stdout.contains("\"changed\":false"),
        "{}",
        again.stdout
    );
}

#[test]
fn a_host_without_a_file_of_its_own_has_an_empty_layer() {
    let folder = tempfile::tempdir().unwrap();
    // As tools list a directory again, with another time.
    write(folder.path(), &[dir("boot").mtime(7, 0)]);
    let path = layer(folder.path(), &published(folder.path(), &[]));
    let listed = tool("unsquashfs", &["-l", "-d", "", &path.to_string_lossy()]);
    assert!(listed.lines().any(|line| line == "/files") && listed.lines().any(|line| line == "/base"), "{listed}");
}

#[test]
fn a_layer_with_secrets_does_not_go_by_http_later() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[file("etc/shadow", "root:x:")]);
    layer(folder.path(), &published(folder.path(), &["--url=https://10.0.0.1/boot"]));
    let before = script(folder.path());
    for words in [&["--image=web=oci:image:1"][..], &["--promote=rack1"], &["--rollback=rack1"]] {
        netboot(folder.path(), words).must_end(3, &["the layer of rack1 was made for https and may have secrets"]);
        assert_eq!(script(folder.path()), before);
    }
}

#[test]
fn n7_a_layer_that_cannot_be_one_is_refused_and_the_host_boots_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[file("etc/motd", "two")]);
    published(folder.path(), &[]).must_end(0, &[]);
    let before = script(folder.path());
    let refused = |more: &[Item], says: &str| {
        write(folder.path(), more);
        published(folder.path(), &[]).must_end(3, &["layer of rack1", says]);
        assert_eq!(script(folder.path()), before);
    };
    refused(&[file("usr/lib/modules/x", "")], "kernel and modules are those of the image");
    refused(&[dir("boot/efi")], "kernel and modules are those of the image");
    refused(&[dir("boot"), file("boot/x", "")], "kernel and modules are those of the image");
    refused(&[dir("boot").mode(0o700)], "kernel and modules are those of the image");
    refused(&[file(".wh.boot", "")], "kernel and modules are those of the image");
    refused(&[file("etc/shadow", "root:x:")], "machines fetch the layer of a host by plain HTTP");
    refused(&[file("etc/ssh/ssh_host_ed25519_key", "")], "machines fetch the layer of a host by plain HTTP");
    write(folder.path(), &[]);
    case::write(folder.path(), &[bootable(&[file("etc/motd", "another")])], &sound::machine());
    published(folder.path(), &[]).must_end(3, &["does not begin with the layers of"]);
    let run = published(folder.path(), &["--embed"]);
    run.must_end(2, &["--embed is for machines without a network, and the layer of rack1 comes over one"]);
}

#[test]
fn a_host_goes_back_to_its_earlier_layer_and_forward_with_its_image_alone() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[file("etc/motd", "two")]);
    let two = layer(folder.path(), &published(folder.path(), &[]));
    let of_two = script(folder.path());
    write(folder.path(), &[file("etc/motd", "three")]);
    let three = layer(folder.path(), &published(folder.path(), &[]));
    assert!(two.exists() && three.exists());
    netboot(folder.path(), &["--rollback=rack1"]).must_end(0, &[]);
    assert_eq!(script(folder.path()), of_two);
    netboot(folder.path(), &["--promote=rack1"]).must_end(0, &[]);
    assert_eq!(script(folder.path()), of_two, "its image is the same, and its layer stays");
    case::write(folder.path(), &[bootable(&[file("etc/motd", "another")])], &sound::machine());
    netboot(folder.path(), &["--image=web=oci:image:1"]).must_end(0, &[]);
    netboot(folder.path(), &["--promote=rack1"])
        .must_end(3, &["the layer of rack1 is for the image that it boots now"]);
    assert_eq!(script(folder.path()), of_two);
    write(folder.path(), &[file("etc/motd", "four")]);
    layer(folder.path(), &published(folder.path(), &[]));
    assert!(two.exists() && !three.exists(), "what no host boots, or booted before, is removed");
}
