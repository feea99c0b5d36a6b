//! The readers. Each returns true if it accepts the bytes.

use crate::fuzz::corpus;
use flipslot::boot::ledger::Ledger;
use flipslot::boot::record::Record;
use flipslot::boot::state::State;
use flipslot::disk::table::read as table;
use flipslot::init::host_layer::sources;
use flipslot::init::source::Source;
use flipslot::init::words::Words;
use flipslot::initramfs::read::contents::Contents;
use flipslot::kernel::find::Kernel;
use flipslot::kernel::modules::Modules;
use flipslot::layer::entry::Meta;
use flipslot::layer::{Budget, LayerPath, RootSink, apply};
use flipslot::network::dhcp::lease_in;
use flipslot::network::settings::Settings;
use flipslot::oci::document;
use flipslot::oci::reference::Reference;
use flipslot::oci::registries::Conf;
use flipslot::oci::registry::challenge::Challenge;
use flipslot::oci::signature::bundle::Opened;
use flipslot::oci::signature::policy_json::PolicyJson;
use flipslot::root::memory::MemoryTree;
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::str::from_utf8;
use std::sync::OnceLock;

/// A reader with inputs that it accepts.
pub struct Reader {
    pub name: &'static str,
    pub corpus: fn() -> Vec<Vec<u8>>,
    pub read: fn(&[u8]) -> bool,
}

pub const READERS: &[Reader] = &[
    Reader { name: "layer", corpus: corpus::layers, read: layer },
    Reader { name: "manifest and index", corpus: corpus::documents, read: |bytes| document::parse(bytes).is_ok() },
    Reader { name: "config", corpus: corpus::configs, read: config },
    Reader { name: "challenge", corpus: corpus::challenges, read: challenge },
    Reader { name: "reference", corpus: corpus::references, read: reference },
    Reader { name: "state block", corpus: corpus::states, read: |bytes| State::parse(bytes).is_some() },
    Reader { name: "record", corpus: corpus::records, read: |bytes| serde_json::from_slice::<Record>(bytes).is_ok() },
    Reader { name: "ledger", corpus: corpus::ledgers, read: |bytes| Ledger::parse(bytes).render().is_ok() },
    Reader { name: "initramfs", corpus: corpus::initramfs, read: |bytes| Contents::read(bytes).is_ok() },
    Reader { name: "GPT", corpus: corpus::gpts, read: gpt },
    Reader { name: "MBR", corpus: corpus::mbrs, read: mbr },
    Reader { name: "modules.dep", corpus: corpus::modules, read: modules },
    Reader { name: "DHCP", corpus: corpus::leases, read: |bytes| lease_in(bytes).is_some() },
    Reader { name: "live words", corpus: corpus::words, read: words },
    Reader { name: "registries.conf", corpus: corpus::registries_conf, read: registries_conf },
    Reader { name: "policy.json", corpus: corpus::policies, read: |bytes| PolicyJson::parse(bytes).is_ok() },
    Reader {
        name: "bundle",
        corpus: corpus::bundles,
        read: |bytes| Opened::of(bytes).is_some_and(|opened| opened.claims().is_some()),
    },
];

/// The command line of a kernel: what it names must be read without an end, and is never a source of another kind.
fn words(bytes: &[u8]) -> bool {
    let Ok(text) = from_utf8(bytes) else { return false };
    let words = Words::read(text);
    Settings::read(words.net.as_deref(), words.booted_by.as_deref()).is_ok()
        && Source::read("root=", &words.root).is_ok()
        && sources(&words.host_layers).is_ok()
}

fn layer(bytes: &[u8]) -> bool {
    let mut budget = Budget { bytes: 1 << 20, entries: 10_000 };
    let mut tree = MemoryTree::for_rules();
    apply(bytes, &mut tree, &mut budget).and_then(|()| tree.finish()).is_ok()
}

fn config(bytes: &[u8]) -> bool {
    let platform = "amd64".parse().expect("it is a platform");
    document::config(bytes, &platform, 1).is_ok()
}

fn challenge(bytes: &[u8]) -> bool {
    from_utf8(bytes).is_ok_and(|text| !Challenge::parse(text).is_empty())
}

/// What is read must be written such that it is read as the same again.
fn reference(bytes: &[u8]) -> bool {
    let Some(reference) = from_utf8(bytes).ok().and_then(|text| text.parse::<Reference>().ok()) else { return false };
    assert_eq!(reference.to_string().parse::<Reference>().ok(), Some(reference));
    true
}

fn registries_conf(bytes: &[u8]) -> bool {
    let Ok(text) = from_utf8(bytes) else { return false };
    let Ok(conf) = Conf::default().with_text(text) else { return false };
    for name in ["debian", "h.example/os/debian:12", "a.b.example:5000/x/y"] {
        if let Ok(Reference::Registry { host, repository, pin }) = conf.reference(name) {
            let _ = conf.endpoints(&host, &repository, &pin);
        }
    }
    true
}

/// The bytes are written over the beginning of a disk with a valid GPT, whose backup is at its end.
fn gpt(bytes: &[u8]) -> bool {
    static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
    partition_table(WHOLE.get_or_init(corpus::gpt_disk), bytes)
}

fn mbr(bytes: &[u8]) -> bool {
    partition_table(&vec![0; 1 << 20], bytes)
}

fn partition_table(whole: &[u8], bytes: &[u8]) -> bool {
    let mut whole = whole.to_vec();
    whole[..bytes.len()].copy_from_slice(bytes);
    let disk = File::from(memfd_create("disk", MemfdFlags::CLOEXEC).expect("there is memory for a disk"));
    disk.write_all_at(&whole, 0).expect("there is memory for a disk");
    let size = whole.len() as u64;
    let _ = table::describe(&disk, size, 512);
    table::read(&disk, size, 512).is_ok_and(|table| table.is_some())
}

fn modules(bytes: &[u8]) -> bool {
    let mut tree = MemoryTree::for_rules();
    let path = LayerPath::clean(b"lib/modules/6.1/modules.dep").expect("it is a path");
    tree.file(&path, &Meta { mode: 0o644, ..Meta::default() }, &mut &bytes[..]).expect("there is room for it");
    let kernel = Kernel { version: "6.1".to_owned(), path: "boot/vmlinuz-6.1".to_owned() };
    let Ok(Some(modules)) = Modules::read(&tree, &kernel) else { return false };
    !modules.with_needs(["ext4".to_owned(), "virtio_blk".to_owned()]).is_empty()
}
