//! A registry that lets in those who log in, by TLS with an authority of the shop: a machine has its login on its own disk.

use crate::disks::{self, Scratch};
use crate::images::{self, Put};
use crate::lan::{Lan, SERVER};
use crate::machine::{Machine, log};
use crate::setup::{Firmware, Setup};
use std::fs;
use std::path::Path;

/// The address of the machine's network card.
const MAC: &str = "52:54:00:12:34:56";

/// Makes an authority and a certificate for the server, and a login.
const PREPARE: &str = r#"
cd "$1"
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=shop -days 30 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout srv.key -out srv.csr -subj /CN=srv 2>/dev/null
printf 'subjectAltName=IP:10.77.0.1' > names
openssl x509 -req -in srv.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile names -out srv.crt 2>/dev/null
htpasswd -Bbn rack1 secret > htpasswd
printf '{"auths":{"10.77.0.1:5000":{"auth":"%s"}}}' "$(printf rack1:secret | base64)" > auth.json
chmod 600 auth.json
cat > config.yml <<END
version: 0.1
storage: {filesystem: {rootdirectory: $1/blobs}}
http: {addr: '0.0.0.0:5000', tls: {certificate: $1/srv.crt, key: $1/srv.key}}
auth: {htpasswd: {realm: shop, path: $1/htpasswd}}
END
mkdir trusted; cp ca.crt trusted/
"#;

/// Makes a disk with a data partition that has this folder's login.
const DISK: &str = r#"
disk=$1; rm -rf "$2/data"; mkdir -p "$2/data/flipslot"; [ "$3" = none ] || cp -p "$2/auth.json" "$2/data/flipslot/"
rm -f "$disk"; truncate -s 64M "$disk"; sgdisk -n 1:1M:0 -c 1:data "$disk" > /dev/null
mkfs.ext4 -q -d "$2/data" -E offset=1048576 "$disk" 60M 2>/dev/null
"#;

/// Publishes the image for the machine, as a machine in the network.
fn publish(lan: &Lan, store: &Path) {
    let path = |name: &str| store.join(name).to_string_lossy().into_owned();
    let authority = fs::read(store.join("ca.crt")).expect("there is an authority");
    let image = images::with_layer(
        &images::layout("bookworm"),
        "login",
        &[Put::File("etc/ssl/certs/ca-certificates.crt", authority)],
    );
    let (from, to) = (format!("oci:{}:latest", image.display()), format!("docker://{SERVER}:5000/os/bookworm:1"));
    let push = "for i in $(seq 50); do skopeo copy --quiet --dest-cert-dir \"$1\" --dest-authfile \"$2\" \"$3\" \"$4\" \
        && exit; sleep 0.2; done; exit 1";
    let inside = ["netns", "exec", &lan.namespace];
    let words = ["sh", "-c", push, "sh", &path("trusted"), &path("auth.json"), &from, &to];
    disks::run("ip", &[&inside[..], &words].concat());
    let folder = lan.folder.to_string_lossy();
    let (url, host) = (format!("--url=http://{SERVER}"), format!("--host=rack1=os,mac={MAC}"));
    let (image, login) = (format!("--image=os={to}"), format!("--authfile={}", path("auth.json")));
    let authority = format!("--registry-ca={}", path("ca.crt"));
    let words = [env!("CARGO_BIN_EXE_flipslot"), "netboot", &folder, &url, &image, &host, &login, &authority];
    let more = ["--format=unpacked", "--auth-on=PARTLABEL=data/flipslot/auth.json", "--console=ttyS0"];
    let words = [&inside[..], &words, &more, &["--kargs=norandmaps panic=1", "--progress=none"]].concat();
    disks::run("ip", &words);
}

#[test]
#[ignore = "make test-all"]
fn a_machine_logs_in_at_a_registry_with_what_is_on_its_own_disk() {
    let (folder, store) = (tempfile::tempdir().expect("a folder to serve"), tempfile::tempdir().expect("a folder"));
    let place = store.path().to_string_lossy();
    disks::run("sh", &["-ec", PREPARE, "sh", &place]);
    let mut lan = Lan::new("login", folder.path());
    lan.start(&["docker-registry", "serve", &store.path().join("config.yml").to_string_lossy()]);
    publish(&lan, store.path());
    lan.serve(&[]);
    let disk = Scratch::named("netboot_login.raw");
    let card = Lan::card(MAC);
    let more: Vec<&str> = card.iter().map(String::as_str).chain(["-m", "768"]).collect();
    let setup = Setup::lasting("netboot_login", Firmware::Bios, &disk);
    let setup = Setup { namespace: Some(&lan.namespace), more: &more, ..setup };
    let _ = fs::remove_file(log("netboot_login"));
    disks::run("sh", &["-ec", DISK, "sh", &disk.to_string_lossy(), &place, "none"]);
    let mut machine = Machine::start(&setup);
    machine.wait_for("a disk without the login", "cannot read the credentials for 10.77.0.1:5000");
    drop(machine);
    disks::run("sh", &["-ec", DISK, "sh", &disk.to_string_lossy(), &place, "login"]);
    let mut machine = Machine::start(&setup);
    machine.wait_for("the layers come", "MiB from docker://10.77.0.1:5000/os/bookworm@sha256:");
    machine.wait_for("login prompt", "rack1 login:");
    machine.log_in();
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
    assert_eq!(machine.run("grep -c flipslot/login /proc/mounts"), "0", "the disk is as it was");
}
