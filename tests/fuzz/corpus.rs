//! Valid inputs of each reader.

use crate::support::layout::{ImageLayout, Packing};
use crate::support::program::tool;
use crate::support::tar::{Tar, dir, file, hardlink, symlink};
use flipslot::boot::state::State;
use flipslot::boot::trial::Terms;
use flipslot::words::slot::Slot;
use std::fs;
use std::path::Path;

fn texts(all: &[&str]) -> Vec<Vec<u8>> {
    all.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/disk-0.1").join(name)).unwrap()
}

pub fn layers() -> Vec<Vec<u8>> {
    let long = "d/".repeat(80) + "x";
    let plain = Tar::default().add(dir("a")).add(file("a/b", "text")).add(symlink("l", "a")).add(hardlink("h", "a/b"));
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    fs::create_dir(place("tree")).unwrap();
    fs::write(place("tree/file"), "text").unwrap();
    fs::write(place("tree/sparse"), [&[0; 65536][..], b"end"].concat()).unwrap();
    // Every form that tar(1) writes.
    let forms = [("ustar", "--no-xattrs"), ("v7", "--no-xattrs"), ("gnu", "--sparse"), ("pax", "--sparse")];
    let forms = forms.map(|(form, more)| {
        let format = format!("--format={form}");
        tool("tar", &["--create", more, &format, "-f", &place(form), "-C", &place("tree"), "."]);
        fs::read(place(form)).unwrap()
    });
    let made = [plain.finish(), Tar::default().add(file(&long, "x")).add(file("a/.wh.b", "")).finish()];
    made.into_iter().chain(forms).collect()
}

fn layout() -> ImageLayout {
    ImageLayout::new(&[(Packing::Gzip, Tar::default().add(dir("a")).finish())])
}

/// An offer as dnsmasq makes it (RFC 2131, 2; RFC 2132).
pub fn leases() -> Vec<Vec<u8>> {
    let mut message = vec![0; 236];
    message[..4].copy_from_slice(&[2, 1, 6, 0]);
    message[16..20].copy_from_slice(&[10, 77, 0, 100]); // yiaddr
    message.extend([0x63, 0x82, 0x53, 0x63]);
    message.extend([53, 1, 2, 54, 4, 10, 77, 0, 1, 1, 4, 255, 255, 255, 0, 3, 4, 10, 77, 0, 1, 6, 4, 10, 77, 0, 1]);
    message.extend([121, 8, 24, 10, 78, 0, 10, 77, 0, 2, 12, 5, b'r', b'a', b'c', b'k', b'1', 26, 2, 5, 220, 255]);
    vec![message]
}

/// Command lines of machines that boot from the network.
pub fn words() -> Vec<Vec<u8>> {
    let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let roots = ["http://srv/root", "docker://srv:5000/os/web", "/image", "PARTUUID=ab-01/flipslot/root"];
    let nets = ["dhcp:eth0.5", "10.0.0.5/24,10.0.0.1,10.0.0.2", "ra:eth0,fd00::1", "dhcp:52:54:00:12:34:56"];
    let line = |(root, net)| format!("root=flipslot:{root}@sha256:{digest} flipslot.net={net} ro \"a.b=c d\" -- x");
    roots.into_iter().zip(nets).map(line).map(String::into_bytes).collect()
}

pub fn documents() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    layout().write(folder.path(), "1");
    let index = fs::read(folder.path().join("index.json")).unwrap();
    let blobs = fs::read_dir(folder.path().join("blobs/sha256")).unwrap().map(|entry| fs::read(entry.unwrap().path()));
    let manifests = blobs.map(Result::unwrap).filter(|blob| blob.starts_with(b"{")).collect::<Vec<_>>();
    [vec![index], manifests].concat()
}

pub fn configs() -> Vec<Vec<u8>> {
    vec![serde_json::to_vec(&layout().config).unwrap()]
}

pub fn challenges() -> Vec<Vec<u8>> {
    texts(&[
        r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:x/y:pull""#,
        r#"Basic realm="Registry \"one\"", Bearer realm=x"#,
        "Negotiate",
    ])
}

pub fn references() -> Vec<Vec<u8>> {
    let digest = format!("host:5000/os/debian:12@sha256:{}", "a".repeat(64));
    texts(&[
        "docker://h.example/os/debian:12",
        "debian",
        "oci:dir:1",
        "oci-archive:x.tar",
        "docker-archive:x:a:b",
        &digest,
    ])
}

pub fn states() -> Vec<Vec<u8>> {
    let (a, b) = (Slot::at(0).unwrap(), Slot::at(1).unwrap());
    let first = State::first(a);
    let trying = first.trying(b, Terms::default());
    vec![fixture("state-1"), fixture("state-2"), first.render().to_vec(), trying.render().to_vec()]
}

pub fn records() -> Vec<Vec<u8>> {
    // The rest of the file is blanks.
    ["slot-a.json", "slot-b.json"].map(|name| fixture(name).trim_ascii_end().to_vec()).to_vec()
}

pub fn ledgers() -> Vec<Vec<u8>> {
    vec![fixture("ledger.json").trim_ascii_end().to_vec(), b"{}".to_vec()]
}

pub fn initramfs() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("usr/lib/modules/6.1")).unwrap();
    fs::write(folder.path().join("usr/lib/modules/6.1/ext4.ko"), "module").unwrap();
    std::os::unix::fs::symlink("usr/lib", folder.path().join("lib")).unwrap();
    let packed = |command: &str| {
        let script = format!(
            "cd {} && find . | cpio --quiet -o -H newc {command} > /tmp/flipslot-fuzz.$$ && cat /tmp/flipslot-fuzz.$$ | base64 -w0; rm /tmp/flipslot-fuzz.$$",
            folder.path().display()
        );
        let text = tool("sh", &["-c", &script]);
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text.trim()).unwrap()
    };
    let plain = packed("");
    let two = [plain.clone(), packed("| gzip -n")].concat();
    vec![plain, two, packed("| zstd -q"), packed("| xz --check=crc32"), packed("| lz4 -l -q"), packed("| bzip2")]
}

fn disk(script: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    fs::File::create(&path).unwrap().set_len(1 << 20).unwrap();
    tool("sh", &["-c", &script.replace("DISK", &path.to_string_lossy())]);
    fs::read(path).unwrap()
}

/// A disk of 1 MiB with boot partition and two slots.
pub fn gpt_disk() -> Vec<u8> {
    disk(
        "sgdisk -a 1 -n 1:34:99 -t 1:ef02 -n 2:100:999 -t 2:ef00 -c 2:boot -n 3:1000:1499 -t 3:8304 -c 3:slot-a \
          -n 4:1500:1999 -t 4:8304 -c 4:slot-b DISK >/dev/null",
    )
}

/// The table itself: 34 sectors (UEFI specification, "GPT overview").
pub fn gpts() -> Vec<Vec<u8>> {
    let mut bytes = gpt_disk();
    bytes.truncate(34 * 512);
    vec![bytes]
}

pub fn mbrs() -> Vec<Vec<u8>> {
    // Linux (83) and EFI (ef) partitions, active.
    let entry = |kind: &str, start: u32, length: u32| {
        let bytes = [start.to_le_bytes(), length.to_le_bytes()].concat();
        let hex: String = bytes.iter().map(|byte| format!("\\{byte:03o}")).collect();
        format!("\\200\\000\\000\\000{kind}\\000\\000\\000{hex}")
    };
    let table = [entry("\\357", 100, 500), entry("\\203", 600, 500), entry("\\203", 1100, 500)].concat();
    let mut bytes = disk(&format!(
        "printf '{table}' | dd of=DISK bs=1 seek=446 conv=notrunc status=none; \
         printf '\\125\\252' | dd of=DISK bs=1 seek=510 conv=notrunc status=none"
    ));
    bytes.truncate(2 * 512);
    vec![bytes]
}

pub fn modules() -> Vec<Vec<u8>> {
    texts(&["kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko kernel/fs/jbd2/jbd2.ko\nkernel/fs/jbd2/jbd2.ko:\n\
             kernel/lib/crc16.ko:\nkernel/drivers/block/virtio_blk.ko.xz: kernel/fs/ext4/ext4.ko\n"])
}

pub fn registries_conf() -> Vec<Vec<u8>> {
    texts(&[
        "unqualified-search-registries = ['h.example']\n[[registry]]\nprefix = 'h.example/os'\nlocation = 'm.example'\n\
         [[registry.mirror]]\nlocation = 'n.example/x'\ninsecure = true\npull-from-mirror = 'digest-only'\n",
        "[[registry]]\nprefix = '*.b.example'\nblocked = true\n[aliases]\ndebian = 'h.example/os/debian'\n",
    ])
}

pub fn policies() -> Vec<Vec<u8>> {
    texts(&[r#"{"default":[{"type":"reject"}],"transports":{"docker":{"h.example":[{"type":"sigstoreSigned",
        "keyPath":"/k","signedIdentity":{"type":"remapIdentity","prefix":"a","signedPrefix":"b"}}]}}}"#])
}

pub fn bundles() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"dsseEnvelope":{"payload":"eyJwcmVkaWNhdGVUeXBlIjoiaHR0cHM6Ly9zaWdzdG9yZS5kZXYvY29zaWduL3NpZ24vdjEiLCJzdWJqZWN0IjpbXX0=",
        "payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AA=="}]}}"#,
    ])
}
