//! The facts of a slot's image that documents show: `status`, the result of a run, the manifest of a disk file.

use crate::boot::initramfs_source::MadeBy;
use crate::boot::record::{Fixed, Record, RootFile};
use crate::boot::recorded::Recorded;
use crate::filesystem::kind::Filesystem;
use crate::words::digest::Digest;
use crate::words::units::rfc3339;
use serde::Serialize;

/// Facts of the image in a slot. docs/status.md describes the keys, which every document flattens into its
/// object of a slot: a field of the record that is to be shown is added here, and nowhere else.
#[derive(Debug, Clone, Serialize)]
pub struct SlotFacts {
    /// Image reference as the user gave it.
    pub reference: String,
    /// Digest of the image when the slot was written.
    pub digest: Digest,
    /// Title of the system, from its os-release.
    pub os: String,
    /// Version of the kernel.
    pub kernel: String,
    /// Type of the root filesystem.
    pub filesystem: Recorded<Filesystem>,
    /// The root, if it is one file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<RootFile>,
    /// Hardware for which the slot was written.
    pub hardware: String,
    /// Kernel modules that this hardware and the root filesystem need in the initramfs.
    pub drivers: Vec<String>,
    /// Origin of the initramfs.
    pub initramfs_by: Recorded<MadeBy>,
    /// Fixes that flipslot made as it wrote the slot (`--fix`).
    pub fixed: Vec<Fixed>,
    /// Copy of `fixed` under its former key, for programs that read that one.
    mended: Vec<Fixed>,
    /// Ids of rules with findings that were accepted (`--allow`).
    pub allowed: Vec<String>,
    /// Time at which the image was made, as RFC 3339 in UTC, as its config says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Names of the keys whose signatures were required and found; empty if none was required.
    pub signed_by: Vec<String>,
    /// Time at which the slot was written, as RFC 3339 in UTC.
    pub written: String,
    /// Version of the flipslot that wrote it.
    pub flipslot: String,
    /// Paths of the agent's files; empty without an agent.
    pub agent: Vec<String>,
    /// Patterns of the files that are carried over from slot to slot; `None` if that was never decided.
    pub keep: Option<Vec<String>>,
}

impl From<&Record> for SlotFacts {
    fn from(record: &Record) -> SlotFacts {
        SlotFacts {
            reference: record.reference.clone(),
            digest: record.digest.clone(),
            os: record.entry().title.clone(),
            kernel: record.entry().kernel.version.clone(),
            filesystem: record.filesystem.clone(),
            root: record.root.clone(),
            hardware: record.hardware.clone(),
            drivers: record.drivers.clone(),
            initramfs_by: record.initramfs_by.clone(),
            fixed: record.fixed.iter().cloned().collect(),
            mended: record.fixed.iter().cloned().collect(),
            allowed: record.allowed.clone(),
            created: record.created.map(rfc3339),
            signed_by: record.signed_by.clone(),
            written: rfc3339(record.written),
            flipslot: record.flipslot.clone(),
            agent: record.agent.clone(),
            keep: record.keep.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn the_facts_keep_every_key_and_name_the_fixes_twice() {
        let digest = Digest::of(b"");
        let fixes = json!([{ "rule": "getty", "done": ["started a getty"] }]);
        let record: Record = serde_json::from_value(json!({
            "version": 1, "reference": "oci:x", "digest": digest, "filesystem": "ext4", "filesystem_uuid": "u",
            "hardware": "qemu", "mended": fixes, "written": 0, "flipslot": "0.1.0", "agent": ["/a"],
            "entry": {
                "title": "Debian", "partition": 2, "kernel": { "version": "6.1", "path": "/boot/vmlinuz" },
                "kernel_digest": digest, "initramfs": "/i", "initramfs_digest": digest, "cmdline": ["quiet"]
            }
        }))
        .unwrap();
        let facts: Value = serde_json::to_value(SlotFacts::from(&record)).unwrap();
        // The keys of version 1, docs/status.md.
        let keys = "reference digest os kernel filesystem hardware drivers initramfs_by mended allowed written \
                    flipslot agent keep";
        for key in keys.split(' ') {
            assert!(facts.get(key).is_some(), "{key} is missing: {facts:#}");
        }
        assert_eq!((&facts["fixed"], &facts["mended"]), (&fixes, &fixes));
    }
}
