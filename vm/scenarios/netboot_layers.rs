//! Machines without a disk whose root is unpacked into memory from layers: of a registry, and of an archive on a server.

use crate::disks::{self, Scratch};
use crate::images;
use crate::lan::{Lan, SERVER};
use crate::machine::{Machine, log};
use crate::scenarios::netboot::{has_its_layer, host_image};
use crate::setup::{Firmware, Setup};
use std::fs;
use std::path::Path;

/// The address of the machine's network card.
const MAC: &str = "52:54:00:12:34:56";

/// Signs an image of the registry with a new key, `ops.pub` in the folder, and attaches the signature as cosign does
/// (cosign, "Signature specification").
const SIGN: &str = r#"
cd "$1"; base=http://10.77.0.1:5000/v2/os/bookworm; curl() { command curl -sf --noproxy '*' "$@" | tr -d '\r'; }
field() { awk -v name="$1:" 'tolower($1) == name {print $2}'; }
kind=application/vnd.oci.image.manifest.v1+json
digest=$(curl -I -H "Accept: $kind" $base/manifests/1 | field docker-content-digest)
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ops.key
openssl pkey -in ops.key -pubout -out ops.pub
printf '{"critical":{"identity":{"docker-reference":"10.77.0.1:5000/os/bookworm"},"image":{"docker-manifest-digest":"%s"},"type":"cosign container image signature"},"optional":null}' "$digest" > payload
printf '{}' > config
put() {
  hash=sha256:$(sha256sum "$1" | cut -c1-64)
  place=$(curl -i -X POST $base/blobs/uploads/ | field location)
  curl -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$1" "$place&digest=$hash"
  printf '"digest":"%s","size":%s' "$hash" "$(stat -c %s "$1")" > "$1.descriptor"
}
put payload; put config
printf '{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"application/vnd.oci.image.config.v1+json",%s},"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json",%s,"annotations":{"dev.cosignproject.cosign/signature":"%s"}}]}' \
  $kind "$(cat config.descriptor)" "$(cat payload.descriptor)" "$(openssl dgst -sha256 -sign ops.key payload | base64 -w0)" > manifest
curl -X PUT -H "Content-Type: $kind" --data-binary @manifest "$base/manifests/sha256-${digest#sha256:}.sig"
"#;

/// Starts a registry in the network, with a signed image in it; returns its reference.
fn registry(lan: &mut Lan, suite: &str, store: &Path) -> String {
    let settings = format!(
        "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '0.0.0.0:5000'}}\n",
        store.join("blobs").display()
    );
    let file = store.join("config.yml");
    fs::write(&file, settings).expect("the settings of a registry can be written");
    lan.start(&["docker-registry", "serve", &file.to_string_lossy()]);
    let to = push(lan, suite);
    disks::run("ip", &["netns", "exec", &lan.namespace, "sh", "-ec", SIGN, "sh", &store.to_string_lossy()]);
    to
}

/// Lets the tag of the registry name an image; returns its reference.
fn push(lan: &Lan, suite: &str) -> String {
    let (from, to) =
        (format!("oci:{}:latest", images::layout(suite).display()), format!("docker://{SERVER}:5000/os/bookworm:1"));
    let push = format!(
        "for i in $(seq 50); do skopeo copy --quiet --dest-tls-verify=false {from} {to} && exit; sleep 0.2; done; exit 1"
    );
    disks::run("ip", &["netns", "exec", &lan.namespace, "sh", "-c", &push]);
    to
}

/// Publishes an image for the machine, as a machine in the network.
fn publish(lan: &Lan, image: &str, layer: &str, format: &[&str], kargs: &str) {
    let folder = lan.folder.to_string_lossy();
    let (url, host) = (format!("--url=http://{SERVER}"), format!("--host=rack1=os,mac={MAC}{layer}"));
    let (image, plain) = (format!("--image=os={image}"), format!("--plain-http={SERVER}:5000"));
    let kargs = format!("--kargs=norandmaps {kargs}");
    let words = ["netns", "exec", &lan.namespace, env!("CARGO_BIN_EXE_flipslot"), "netboot", &folder, &url, &image];
    let more = [&host, "--console=ttyS0", "--progress=none", &plain, &kargs];
    disks::run("ip", &[&words[..], &more, format].concat());
}

fn comes_up(machine: &mut Machine, release: u32, from: &str) {
    machine.wait_for("the initramfs fetches the image", from);
    machine.wait_for("the image comes up", &format!("Debian GNU/Linux {release} rack1"));
    machine.wait_for("login prompt", "rack1 login:");
    machine.log_in();
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
    let root = machine.run("grep ' / ' /proc/mounts | grep -v rootfs");
    assert!(root.contains("tmpfs / tmpfs rw"), "{root}");
    let own =
        "cd /var/tmp; mkdir -p l u w m; mount -t overlay o -o lowerdir=l,upperdir=u,workdir=w m; umount m; echo $?";
    assert_eq!(machine.run(own), "0", "an overlay of its own can be mounted, as podman does");
    assert_eq!(machine.run("command -v flipslot"), "/usr/bin/flipslot");
}

#[test]
fn layers_of_a_registry_and_of_an_archive_become_a_root_in_memory() {
    let (folder, store) = (tempfile::tempdir().expect("a folder to serve"), tempfile::tempdir().expect("a folder"));
    let mut lan = Lan::new("layers", folder.path());
    let image = registry(&mut lan, "bookworm", store.path());
    let key = format!("--verify-key={}", store.path().join("ops.pub").display());
    publish(&lan, &image, "", &["--format=unpacked", "--follow-tag", &key], "panic=1");
    lan.serve(&[]);
    let disk = Scratch::named("netboot_layers.raw");
    fs::write(&*disk, vec![0; 1 << 20]).expect("an empty disk can be made");
    let _ = fs::remove_file(log("netboot_layers"));
    let card = Lan::card(MAC);
    let more: Vec<&str> = card.iter().map(String::as_str).chain(["-m", "768"]).collect();
    let setup = Setup::lasting("netboot_layers", Firmware::Bios, &disk);
    let mut machine = Machine::start(&Setup { namespace: Some(&lan.namespace), more: &more, ..setup });
    comes_up(&mut machine, 12, "MiB from docker://10.77.0.1:5000/os/bookworm:1, unpacked");
    let status = machine.run("flipslot status");
    assert!(status.contains("docker://10.77.0.1:5000/os/bookworm:1 (unpacked)"), "{status}");
    assert!(status.contains("digest   sha256:"), "of the image that the tag names: {status}");
    machine.run("rm -r /usr/share");
    push(&lan, "trixie");
    machine.leave_by("systemctl reboot -f");
    machine.wait_for("nobody has signed what the tag names now", "it has no signature");

    let archive = store.path().join("trixie.tar");
    let (from, to) =
        (format!("oci:{}:latest", images::layout("trixie").display()), format!("oci-archive:{}", archive.display()));
    disks::run("skopeo", &["copy", "--quiet", &from, &to]);
    let layer = format!(",layer={}", host_image("trixie", "host_of_layers"));
    publish(&lan, &to, &layer, &["--format=oci-archive"], "flipslot.zram=256M");
    comes_up(&mut machine, 13, "/root.oci.tar in");
    has_its_layer(&mut machine);
    assert!(machine.run("cat /proc/swaps").contains("/dev/zram0"));
    assert_eq!(machine.run("test -d /usr/share && echo whole"), "whole");
}
