//! How a root reaches a machine, what defines a folder, and when a host gets what was written.

use super::{MAC, described, names_in, netboot, published, script, write_image};
use crate::support::program::{flipslot, tool};
use serde_json::Value;
use std::fs;

#[test]
fn an_archive_is_handed_out_as_it_is_and_unpacked_by_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    write_image(folder.path(), "one");
    let (from, to) = (folder.path().join("image"), folder.path().join("image.tar"));
    tool("skopeo", &["copy", "-q", &format!("oci:{}:1", from.display()), &format!("oci-archive:{}", to.display())]);
    let run = netboot(folder.path(), &["--image=web=oci-archive:image.tar", "--format=oci-archive"]);
    run.must_end(0, &[]);
    let (place, image) = described(folder.path(), &serde_json::from_str(&run.stdout).unwrap());
    assert_eq!(fs::read(place.join("root.oci.tar")).unwrap(), fs::read(to).unwrap());
    let words = image["cmdline"].as_str().unwrap();
    assert!(words.contains("/root.oci.tar@sha256:") && words.contains(" flipslot.format=oci-archive "), "{words}");
    let names = names_in(&place.join("initrd"));
    assert!(names.contains("virtio_net.ko") && !names.contains("erofs.ko"), "{names}");
    assert!(names.contains("squashfs.ko"), "layers of hosts are such files: {names}");
    let elsewhere = netboot(folder.path(), &["--image=web=oci:image:1", "--format=oci-archive"]);
    elsewhere.must_end(2, &["hands out an archive as it is", "skopeo copy oci:image:1 oci-archive:FILE"]);
}

#[test]
fn layers_come_from_a_registry_that_machines_reach_or_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    write_image(folder.path(), "one");
    let refused = |image: &str, said: &str, more: &[&str]| {
        let words = [&[image, "--format=unpacked"], more].concat();
        netboot(folder.path(), &words).must_end(2, &[said]);
    };
    refused("--image=web=oci:image:1", "lets machines fetch layers from a registry", &[]);
    refused("--image=web=docker://127.0.0.1:5000/os/web:1", "machines would ask themselves", &[]);
    refused("--image=web=docker://srv/os/web:1", "leaves it in its registry", &["--embed"]);
    assert!(
        !folder.path().join("served/images").exists()
            || fs::read_dir(folder.path().join("served/images")).unwrap().count() == 0
    );
}

#[test]
fn following_a_tag_needs_a_key_a_registry_and_an_image_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    write_image(folder.path(), "one");
    let refused = |image: &str, said: &str, more: &[&str]| {
        let words = [&[image, "--format=unpacked"], more].concat();
        netboot(folder.path(), &words).must_end(2, &[said]);
    };
    refused("--image=web=docker://srv/os/web:1", "--follow-tag without a key", &["--follow-tag"]);
    let fixes = ["--follow-tag", "--verify-key=ops.pub", "--fix=fstab"];
    refused("--image=web=docker://srv/os/web:1", "--follow-tag may boot another one later", &fixes);
    let run = netboot(folder.path(), &["--image=web=oci:image:1", "--follow-tag", "--verify-key=ops.pub"]);
    run.must_end(2, &["which --format unpacked alone does"]);
    let run = netboot(folder.path(), &["--image=web=oci:image:1", "--kargs=flipslot.run=https://srv/setup"]);
    run.must_end(3, &["flipslot.run=https://srv/setup has no digest"]);
}

#[test]
fn an_image_without_a_host_changes_none_until_the_host_is_promoted() {
    let folder = tempfile::tempdir().unwrap();
    write_image(folder.path(), "one");
    published(folder.path());
    let one = script(folder.path());
    write_image(folder.path(), "two");
    netboot(folder.path(), &["--image=web=oci:image:1"]).must_end(0, &[]);
    assert_eq!(script(folder.path()), one, "a host boots what it did before");
    let run = netboot(folder.path(), &["--promote=rack1"]);
    run.must_end(0, &[]);
    let result: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(result["hosts"][0]["changed"], true);
    assert_ne!(script(folder.path()), one);
    let again = netboot(folder.path(), &["--promote=rack1"]);
    assert!(
        again.stdout.contains("\"changed\": false") || again.stdout.contains("\"changed\":false"),
        "{}",
        again.stdout
    );
    netboot(folder.path(), &["--rollback=rack1"]).must_end(0, &[]);
    assert_eq!(script(folder.path()), one);
    netboot(folder.path(), &["--promote=rack2"]).must_end(3, &["has no host rack2"]);
}

#[test]
fn a_file_defines_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    write_image(folder.path(), "one");
    let mac = MAC.replace('-', ":");
    let text = format!(
        "url = 'http://10.0.0.1/boot'\nformat = 'erofs'\nconsole = ['ttyS0']\nloader = ['ipxe', 'grub']\n\
         [image]\nweb = 'oci:image:1'\n[host.rack1]\nimage = 'web'\nmac = ['{mac}']\n"
    );
    fs::write(folder.path().join("netboot.toml"), text).unwrap();
    let run = flipslot(folder.path(), &["netboot", "served", "--config=netboot.toml", "--progress=none"]);
    run.must_end(0, &[]);
    assert!(script(folder.path()).contains("flipslot.format=erofs"), "{}", script(folder.path()));
    fs::write(folder.path().join("netboot.toml"), "url = 'http://10.0.0.1/boot'\nslots = 2\n").unwrap();
    let run = flipslot(folder.path(), &["netboot", "served", "--config=netboot.toml"]);
    run.must_end(2, &["netboot.toml", "line 2", "slots"]);
}
