//! `netboot`: a folder of static files from which machines boot by PXE.

mod deliveries;
mod host_layers;

use crate::check::{case, sound};
use crate::support::program::{Run, flipslot, tool};
use crate::support::tar::{Item, file};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const MAC: &str = "52-54-00-12-34-56";

/// Modules of a live root, as modules.dep lists them.
const LIVE: [&str; 4] = ["fs/squashfs/squashfs", "fs/erofs/erofs", "drivers/block/loop", "fs/overlayfs/overlay"];

/// Drivers of network cards, one without hardware, and one of a filesystem for disks.
const MORE: [&str; 4] =
    ["drivers/net/virtio_net", "drivers/net/ethernet/e1000", "drivers/net/ethernet/bonding", "fs/ext4/ext4"];
const ALIASES: &str = "alias virtio:d00000001v* virtio_net\nalias pci:v00008086d0000100Esv*sd*bc*sc*i* e1000\n";

/// Writes an image whose kernel has what a live root needs, with this text in a file.
fn write_image(folder: &Path, text: &str) {
    write_image_with(folder, &[file("etc/motd", text)]);
}

fn write_image_with(folder: &Path, more: &[Item]) {
    case::write(folder, &[bootable(more)], &sound::machine());
}

/// Returns a layer whose kernel has what a live root needs, and more.
fn bootable(more: &[Item]) -> Vec<Item> {
    let dep: String = LIVE.iter().chain(&MORE).map(|module| format!("kernel/{module}.ko:\n")).collect();
    let mut layer = sound::modules(sound::VERSION, &dep);
    for module in LIVE.iter().chain(&MORE) {
        layer.push(file(format!("usr/lib/modules/{}/kernel/{module}.ko", sound::VERSION), "\x7fELF of a module"));
    }
    layer.push(file(format!("usr/lib/modules/{}/modules.alias", sound::VERSION), ALIASES));
    layer.extend_from_slice(more);
    layer
}

fn netboot(folder: &Path, more: &[&str]) -> Run {
    let url =
        ["--url=http://10.0.0.1/boot"].into_iter().filter(|_| !more.iter().any(|flag| flag.starts_with("--url=")));
    let always = ["netboot", "served", "--console=ttyS0", "--progress=none", "--json"];
    flipslot(folder, &[&always[..], more, &url.collect::<Vec<_>>()].concat())
}

fn published(folder: &Path) -> Value {
    let run = netboot(folder, &["--image=web=oci:image:1", "--host=rack1=web,mac=52:54:00:12:34:56"]);
    run.must_end(0, &[]);
    serde_json::from_str(&run.stdout).unwrap()
}

fn script(folder: &Path) -> String {
    fs::read_to_string(folder.join("served/by-mac").join(MAC).join("boot.ipxe")).unwrap()
}

/// Every file and link of a folder, with its content or target.
fn all(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let listed = tool("find", &[&folder.to_string_lossy(), "-not", "-type", "d"]);
    let content = |path: &str| {
        fs::read_link(path)
            .map_or_else(|_| fs::read(path).unwrap(), |target| target.to_string_lossy().into_owned().into_bytes())
    };
    listed.lines().map(|path| (path.to_owned(), content(path))).collect()
}

/// Returns the folder of the image in a result, and its description, whose files have the digests that it says.
fn described(folder: &Path, result: &Value) -> (PathBuf, Value) {
    let image = result["images"][0]["folder"].as_str().unwrap();
    let place = folder.join("served/images").join(image);
    let described: Value = serde_json::from_slice(&fs::read(place.join("image.json")).unwrap()).unwrap();
    for file in described["files"].as_array().unwrap() {
        let path = place.join(file["name"].as_str().unwrap());
        let digest = tool("sha256sum", &[&path.to_string_lossy()]);
        assert_eq!(file["digest"], format!("sha256:{}", &digest[..64]));
    }
    (place, described)
}

/// Returns the root as one file, as `image` writes it.
fn root_of_image(folder: &Path) -> Vec<u8> {
    flipslot(folder, &["image", "root", "oci:image:1", "--progress=none"]).must_end(0, &[]);
    fs::read(folder.join("root")).unwrap()
}

fn names_in(initrd: &Path) -> String {
    tool("sh", &["-c", "gzip -dc \"$1\" 2>/dev/null | cpio -t --quiet", "sh", &initrd.to_string_lossy()])
}

#[test]
fn a_host_fetches_an_image_whose_files_are_what_the_description_says() {
    let folder = tempfile::tempdir().unwrap();
    write_image(folder.path(), "one");
    let result = published(folder.path());
    let (place, described) = described(folder.path(), &result);
    let image = format!("http://10.0.0.1/boot/images/{}", place.file_name().unwrap().to_string_lossy());
    let text = script(folder.path());
    assert!(text.starts_with("#!ipxe\n") && text.contains(&format!("kernel {image}/vmlinuz ")), "{text}");
    let digest = described["root"]["digest"].as_str().unwrap();
    let root = format!("root=flipslot:{image}/root.squashfs@{digest} flipslot.format=squashfs ro ");
    assert!(text.contains(&root) && text.contains(" BOOTIF=01-${netX/mac:hexhyp} "), "{text}");
    let names = names_in(&place.join("initrd"));
    for needed in ["init", "squashfs.ko", "overlay.ko", "virtio_net.ko", "e1000.ko"] {
        assert!(names.lines().any(|name| name.ends_with(needed)), "{needed}: {names}");
    }
    assert!(!names.contains("ext4.ko") && !names.contains("bonding.ko"), "neither disks nor what has no hardware");
    assert!(fs::read(place.join("root.squashfs")).unwrap() == root_of_image(folder.path()), "byte for byte");
    let configuration = folder.path().join("served/dnsmasq.conf");
    tool("sh", &["-c", "dnsmasq --test -C \"$1\" 2>&1", "sh", &configuration.to_string_lossy()]);
}

/// Returns the compressed archives of an initramfs, unpacked into folders.
fn unpacked(initrd: &Path) -> Vec<tempfile::TempDir> {
    let bytes = fs::read(initrd).unwrap();
    let (mut rest, mut folders) = (bytes.as_slice(), Vec::new());
    while rest.starts_with(&[0x1f, 0x8b]) {
        let mut archive = Vec::new();
        let mut decoder = flate2::bufread::GzDecoder::new(rest);
        decoder.read_to_end(&mut archive).unwrap();
        rest = decoder.into_inner();
        // Up to the next multiple of 4.
        rest = &rest[(bytes.len() - rest.len()).wrapping_neg() % 4..];
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("archive"), archive).unwrap();
        tool("sh", &["-ec", "cd \"$1\" && cpio -i --quiet < archive", "sh", &folder.path().to_string_lossy()]);
        folders.push(folder);
    }
    folders
}

#[test]
fn files_that_two_images_have_are_stored_once_and_each_folder_has_its_sums() {
    let folder = tempfile::tempdir().unwrap();
    write_image(folder.path(), "one");
    let place = |words: &str| {
        let flags = ["--image=web=oci:image:1", "--host=rack1=web,mac=52:54:00:12:34:56", words];
        let run = netboot(folder.path(), &flags);
        run.must_end(0, &[]);
        described(folder.path(), &serde_json::from_str(&run.stdout).unwrap()).0
    };
    let [one, two] = ["--kargs=quiet", "--kargs=debug"].map(place);
    let inode = |place: &Path, name: &str| fs::metadata(place.join(name)).unwrap().ino();
    for name in ["root.squashfs", "vmlinuz"] {
        assert_eq!(inode(&one, name), inode(&two, name), "{name}");
    }
    for place in [one, two] {
        tool("sh", &["-ec", "cd \"$1\" && sha256sum --quiet --strict -c SHA256SUMS", "sh", &place.to_string_lossy()]);
    }
}

#[test]
fn what_flipslot_adds_is_a_layer_of_the_initramfs_and_the_root_is_the_image_alone() {
    let folder = tempfile::tempdir().unwrap();
    write_image(folder.path(), "one");
    let result = published(folder.path());
    let (place, _) = described(folder.path(), &result);
    let archives = unpacked(&place.join("initrd"));
    let layer = archives[1].path().join("layer");
    let program = fs::read(layer.join("usr/lib/flipslot/flipslot")).unwrap();
    assert!(program == fs::read(env!("CARGO_BIN_EXE_flipslot")).unwrap(), "flipslot itself");
    assert_eq!(fs::read_link(layer.join("usr/bin/flipslot")).unwrap(), Path::new("../lib/flipslot/flipslot"));
    let listed = tool("find", &[&layer.to_string_lossy(), "-type", "f", "-printf", "%P %m\\n"]);
    assert!(!listed.contains("initramfs") && !listed.contains("etc/motd"), "nothing of the image: {listed}");
    assert!(listed.contains("usr/lib/flipslot/flipslot 755"), "{listed}");

    let flags = ["--image=web=oci:image:1", "--host=rack1=web,mac=52:54:00:12:34:56", "--no-agent"];
    let run = netboot(folder.path(), &flags);
    run.must_end(0, &[]);
    let (place, _) = described(folder.path(), &serde_json::from_str(&run.stdout).unwrap());
    assert!(!unpacked(&place.join("initrd"))[1].path().join("layer/usr").exists());
}

#[test]
fn what_is_fixed_is_in_the_layer_and_what_it_removes_is_said_to_be_in_the_root_still() {
    let folder = tempfile::tempdir().unwrap();
    write_image_with(folder.path(), &[file("etc/ssh/ssh_host_rsa_key", "secret")]);
    let flags =
        ["--image=web=oci:image:1", "--host=rack1=web,mac=52:54:00:12:34:56", "--fix=ssh-host-keys", "--no-agent"];
    let run = netboot(folder.path(), &flags);
    run.must_end(0, &["/etc/ssh/ssh_host_rsa_key and what else was removed is hidden"]);
    let (place, _) = described(folder.path(), &serde_json::from_str(&run.stdout).unwrap());
    let layer = unpacked(&place.join("initrd"));
    let key = layer[1].path().join("layer/etc/ssh/ssh_host_rsa_key");
    assert_eq!(tool("stat", &["-c", "%F %t:%T", &key.to_string_lossy()]).trim(), "character special file 0:0");
}

#[test]
fn an_image_that_is_embedded_comes_with_the_initramfs() {
    let folder = tempfile::tempdir().unwrap();
    write_image(folder.path(), "one");
    let run = netboot(folder.path(), &["--image=web=oci:image:1", "--host=rack1=web,mac=52:54:00:12:34:56", "--embed"]);
    run.must_end(0, &[]);
    let (place, described) = described(folder.path(), &serde_json::from_str(&run.stdout).unwrap());
    let digest = described["root"]["digest"].as_str().unwrap();
    let text = script(folder.path());
    assert!(text.contains(&format!("root=flipslot:/image@{digest} flipslot.format=squashfs ro")), "{text}");
    // The initramfs is three archives: ours, the layer, and the image as it is.
    let names = names_in(&place.join("initrd"));
    assert!(names.contains("squashfs.ko") && !names.contains("virtio_net.ko"), "{names}");
    let (bytes, root) = (fs::read(place.join("initrd")).unwrap(), root_of_image(folder.path()));
    assert!(bytes.windows(root.len()).any(|part| part == root), "the image in it is that of `image`, byte for byte");
    assert!(!place.join("root.squashfs").exists());
}

#[test]
fn the_same_again_changes_nothing_and_a_rollback_leads_to_the_image_before() {
    let folder = tempfile::tempdir().unwrap();
    write_image(folder.path(), "one");
    let first = published(folder.path());
    let before = all(&folder.path().join("served"));
    let again = published(folder.path());
    assert_eq!(
        (&again["images"][0]["is_new"], &again["hosts"][0]["changed"]),
        (&Value::from(false), &Value::from(false))
    );
    assert!(before == all(&folder.path().join("served")), "nothing has changed");
    netboot(folder.path(), &["--rollback=rack1"]).must_end(3, &["booted nothing else before"]);

    let one = script(folder.path());
    write_image(folder.path(), "two");
    let second = published(folder.path());
    assert_ne!(first["images"][0]["folder"], second["images"][0]["folder"]);
    let two = script(folder.path());
    assert_ne!(one, two);
    netboot(folder.path(), &["--rollback=rack1"]).must_end(0, &[]);
    assert_eq!(script(folder.path()), one);
    netboot(folder.path(), &["--rollback=rack1"]).must_end(0, &[]);
    assert_eq!(script(folder.path()), two, "and forth");
}

#[test]
fn images_that_no_host_boots_are_removed_but_for_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["one", "two", "three", "four"] {
        write_image(folder.path(), text);
        netboot(folder.path(), &["--image=web=oci:image:1", "--host=rack1=web,mac=52:54:00:12:34:56", "--keep=1"])
            .must_end(0, &[]);
    }
    let left = fs::read_dir(folder.path().join("served/images")).unwrap().count();
    assert_eq!(left, 3, "what the host boots, what it booted before, and one more");
}

#[test]
fn a_host_whose_name_is_like_that_of_another_and_an_address_that_moves_cost_no_other_host_its_image() {
    let folder = tempfile::tempdir().unwrap();
    write_image(folder.path(), "one");
    let image = "--image=web=oci:image:1";
    let hosts = ["--host=rack1=web,mac=52:54:00:00:00:01", "--host=rack1.new=web,mac=52:54:00:00:00:02"];
    netboot(folder.path(), &[&[image], &hosts[..]].concat()).must_end(0, &[]);
    netboot(folder.path(), &[image, hosts[0], "--kargs=quiet"]).must_end(0, &[]);
    let script =
        |mac: &str| fs::read_to_string(folder.path().join(format!("served/by-mac/52-54-00-00-00-{mac}/boot.ipxe")));
    assert!(script("01").unwrap().contains("quiet") && !script("02").unwrap().contains("quiet"));

    let taken = netboot(folder.path(), &[image, "--host=rack2=web,mac=52:54:00:00:00:01"]);
    taken.must_end(3, &["52-54-00-00-00-01 is the address of the host rack1, not of rack2"]);
    netboot(folder.path(), &[image, "--host=rack1=web,mac=52:54:00:00:00:03"]).must_end(0, &[]);
    assert!(script("01").is_err(), "the host has another address now");
    assert!(script("03").is_ok());
}

#[test]
fn what_a_run_that_was_cut_left_does_not_stop_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    write_image(folder.path(), "one");
    let image = published(folder.path())["images"][0]["folder"].as_str().unwrap().to_owned();
    let images = folder.path().join("served/images");
    fs::remove_file(images.join(&image).join("image.json")).unwrap();
    fs::create_dir(images.join(".new-x")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("served/hosts/.new-rack1")).unwrap();
    published(folder.path());
    assert_eq!(fs::read_dir(&images).unwrap().count(), 1);
    assert!(!folder.path().join("served/hosts/.new-rack1").is_symlink());
}

#[test]
fn what_cannot_be_published_is_refused_and_hosts_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    write_image(folder.path(), "one");
    published(folder.path());
    let before = script(folder.path());
    let host = "--host=rack1=web,mac=52:54:00:12:34:56";
    netboot(folder.path(), &["--image=web=oci:missing:1", host]).must_end(3, &["image web", "missing"]);
    netboot(folder.path(), &["--image=web=oci:image:1", "--host=Rack 1=web,mac=52:54:00:12:34:56"])
        .must_end(2, &["cannot be a name"]);
    netboot(folder.path(), &["--image=web=oci:image:1", host, "--initramfs=two-stage"])
        .must_end(2, &["flipslot's own, or the stock one"]);
    netboot(folder.path(), &["--image=web=oci:image:1", host, "--initramfs=dracut"])
        .must_end(1, &["dracut has no module livenet (package dracut-network"]);
    netboot(folder.path(), &["--image=web=oci:image:1", host, "--initramfs=dracut", "--embed"])
        .must_end(2, &["the initramfs of dracut knows no --embed"]);
    netboot(folder.path(), &["--image=web=oci:image:1", host, "--kargs=quiet || reboot"])
        .must_end(2, &["'||' cannot be a word of the kernel here"]);
    fs::write(folder.path().join("words.toml"), "kargs = \"quiet && reboot\"\n").unwrap();
    netboot(folder.path(), &["--image=web=oci:image:1", host, "--config=words.toml"])
        .must_end(2, &["'&&' cannot be a word of the kernel here"]);
    assert_eq!(script(folder.path()), before);
    let typo = flipslot(folder.path(), &["netboot", "typo", "--url=http://x/y", "--rollback=rack1"]);
    typo.must_end(3, &["there is no folder typo"]);
    assert!(!folder.path().join("typo").exists());
}
