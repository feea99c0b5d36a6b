//! The plan of what a command would do to a disk, printed before it does anything (docs/plan.md).

use crate::clone::golden::Golden;
use crate::disk::installed::boot_files;
use crate::disk::installed::boot_files::{STATE, entry_path, record_path};
use crate::disk::installed::open::Disk;
use crate::disk::new::layout::Layout;
use crate::disk::table::golden::Part;
use crate::disk::which::fingerprint::Fingerprint;
use crate::error::{Result, refused};
use crate::filesystem::kind::Filesystem;
use crate::oci::Reference;
use crate::output::planned_partition::{Fate, PlannedPartition};
use crate::request::images::SlotImage;
use crate::words::digest::Digest;
use crate::words::region::TableKind;
use crate::words::slot::Slot;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// A plan; `version` is that of the JSON form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    version: u32,
    /// Name of the command.
    pub(super) verb: String,
    pub(super) disk: String,
    /// Size of the disk in bytes.
    pub(super) size: u64,
    /// Size of a logical sector in bytes.
    pub(super) sector_size: u64,
    pub(super) table: TableKind,
    /// True if the partition table is written, too.
    pub(super) table_written: bool,
    pub(super) partitions: Vec<PlannedPartition>,
    /// Files of the boot partition that are written.
    pub(super) boot_files: Vec<String>,
    pub(super) images: Vec<PlannedImage>,
    /// Bytes of all layers that come from a registry, as they are stored there.
    pub(super) bytes_to_fetch: u64,
    /// Further remarks for people.
    pub(super) notes: Vec<String>,
    /// Data with which `create --plan` carries the plan out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    how: Option<How>,
}

/// Data with which `create --plan` carries a plan out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct How {
    /// The words after `flipslot create`.
    pub arguments: Vec<String>,
    /// Folder that relative paths start from.
    pub folder: PathBuf,
    /// Fingerprint of what was there; `null` for a file that did not exist.
    pub fingerprint: Option<Fingerprint>,
    /// Digest of everything that the command line refers to: the config file, the inventory,
    /// `SOURCE_DATE_EPOCH`.
    pub inputs: Digest,
}

/// An image that is to be written into a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedImage {
    pub(super) slot: Slot,
    pub(super) reference: String,
    pub(super) digest: String,
    pub(super) stored_bytes: u64,
    /// Title of what the slot holds now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) replaces: Option<String>,
}

impl Plan {
    /// Plans to write slots of an existing disk.
    pub fn of_slots(verb: &str, disk: &Disk, images: &[SlotImage], of: impl Fn(Slot) -> Filesystem) -> Result<Plan> {
        let mut partitions: Vec<PlannedPartition> = disk
            .table
            .shared
            .iter()
            .map(|(region, name, _)| {
                let is_boot = *region == disk.table.boot;
                let name = match region.number {
                    _ if is_boot => "boot",
                    number if Some(number) == disk.table.data => "data",
                    _ => name,
                };
                PlannedPartition::new(*region, name, if is_boot { Fate::Changed } else { Fate::Untouched })
            })
            .collect();
        for (slot, (region, _)) in &disk.table.slots {
            let is_written = images.iter().any(|one| one.location.slot == *slot);
            let fate = if is_written { Fate::Written } else { Fate::Untouched };
            let filesystem = is_written.then(|| of(*slot).to_string());
            partitions
                .push(PlannedPartition { filesystem, ..PlannedPartition::new(*region, &format!("slot-{slot}"), fate) });
        }
        partitions.sort_by_key(|partition| partition.number);
        let slots = images.iter().flat_map(|one| [entry_path(one.location.slot), record_path(one.location.slot)]);
        let boot_files = slots.chain(STATE.map(ToOwned::to_owned)).collect();
        let (table, sector_size) = (disk.table.kind, disk.table.sector);
        let plan = Plan { table, sector_size, partitions, boot_files, ..Plan::blank(verb, &disk.path, disk.size) };
        let mut plan = plan.fetching(images);
        for image in &mut plan.images {
            image.replaces = disk.files.holding(image.slot)?.record().map(|record| record.entry().title.clone());
        }
        Ok(plan)
    }

    /// Plans to make a disk.
    pub fn of_disk(path: &Path, layout: &Layout, images: &[SlotImage], of: impl Fn(Slot) -> Filesystem) -> Plan {
        let mut partitions = Vec::new();
        if layout.core.number > 0 {
            partitions.push(PlannedPartition::new(layout.core, "bios-boot", Fate::Written));
        }
        let boot = PlannedPartition::new(layout.boot, "boot", Fate::Written);
        partitions.push(PlannedPartition { filesystem: Some("vfat".to_owned()), ..boot });
        for (slot, region) in (0..).map_while(Slot::at).zip(&layout.slots) {
            let is_written = images.iter().any(|one| one.location.slot == slot);
            let fate = if is_written { Fate::Written } else { Fate::Empty };
            let filesystem = is_written.then(|| of(slot).to_string());
            partitions
                .push(PlannedPartition { filesystem, ..PlannedPartition::new(*region, &format!("slot-{slot}"), fate) });
        }
        partitions.extend(layout.data.map(|region| PlannedPartition::new(region, "data", Fate::Empty)));
        let (table, sector_size, table_written) = (layout.table, layout.sector, true);
        let boot_files = boot_files::all(table, (0..).map_while(Slot::at).take(layout.slots.len()));
        let blank = Plan::blank("create", path, layout.size);
        Plan { table, sector_size, table_written, partitions, boot_files, ..blank }.fetching(images)
    }

    /// Plans to make a disk of `size` bytes a copy of a golden disk.
    pub fn of_copy(path: &Path, size: u64, golden: &Golden) -> Plan {
        let (table, sector_size, table_written) = (golden.table.kind(), golden.table.sector, true);
        let of_part = |part: &Part| {
            let number = part.region.number;
            let is_boot = number == golden.boot.number;
            let filesystem = golden.filesystems.get(&number).map(|(filesystem, _)| filesystem.to_string());
            let filesystem = if is_boot { Some("vfat".to_owned()) } else { filesystem };
            PlannedPartition {
                filesystem,
                ..PlannedPartition::new(golden.table.on_copy(part, size), &part.name, Fate::Written)
            }
        };
        let partitions = golden.table.parts.iter().map(of_part).collect();
        let boot_files = boot_files::all(table, golden.slots.keys().copied());
        let blank = Plan::blank("clone", path, size);
        Plan { table, sector_size, table_written, partitions, boot_files, ..blank }
    }

    fn blank(verb: &str, disk: &Path, size: u64) -> Plan {
        Plan {
            version: 1,
            verb: verb.to_owned(),
            disk: disk.display().to_string(),
            size,
            sector_size: 512,
            table: TableKind::default(),
            table_written: false,
            partitions: Vec::new(),
            boot_files: Vec::new(),
            images: Vec::new(),
            bytes_to_fetch: 0,
            notes: Vec::new(),
            how: None,
        }
    }

    fn fetching(mut self, images: &[SlotImage]) -> Plan {
        let image = |SlotImage { location, image }: &SlotImage| PlannedImage {
            slot: location.slot,
            reference: image.reference.to_string(),
            digest: image.digest.to_string(),
            stored_bytes: image.stored_bytes(),
            replaces: None,
        };
        self.images = images.iter().map(image).collect();
        let fetched = images.iter().filter(|one| matches!(one.image.reference, Reference::Registry { .. }));
        self.bytes_to_fetch = fetched.map(|one| one.image.stored_bytes()).sum();
        self
    }

    /// Adds the data with which the plan is carried out.
    pub fn by(self, how: How) -> Plan {
        Plan { how: Some(how), ..self }
    }

    /// Reads a plan that can be carried out from a file.
    pub fn read(path: &Path) -> Result<Plan> {
        let unreadable = |why: String| {
            let found = format!("{} holds no plan of this version: {why}", path.display());
            refused(found, "make one: flipslot create ... --dry-run --json > plan.json")
        };
        let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        let plan: Plan = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        if plan.version != 1 || plan.how.is_none() {
            return Err(unreadable("it does not say how to make a disk".to_owned()));
        }
        Ok(plan)
    }

    /// Returns the fingerprint of the disk when the plan was made; the inner `None` is for a file that was not there.
    pub fn fingerprint(&self) -> Result<&Option<Fingerprint>> {
        Ok(&self.how()?.fingerprint)
    }

    /// Returns the data with which the plan is carried out; fails if there is none.
    pub fn how(&self) -> Result<&How> {
        self.how.as_ref().context("the plan does not say how")
    }

    /// Fails if `now`, the plan that the same command line makes at this moment, is a different one.
    pub fn refuse_other(&self, now: &Plan) -> Result<()> {
        let strip = |plan: &Plan| Plan { how: None, notes: Vec::new(), ..plan.clone() };
        if strip(self) == strip(now) {
            return Ok(());
        }
        let images =
            |plan: &Plan| plan.images.iter().map(|image| (image.slot, image.digest.clone())).collect::<Vec<_>>();
        let what = match images(self) == images(now) {
            true => "what would be written is not what the plan says",
            false => "an image has changed since the plan was made: its tag has moved",
        };
        Err(refused(what, "make a new plan, and review it: flipslot create --dry-run --json"))
    }

    /// Adds a remark for people.
    pub fn noting(mut self, note: String) -> Plan {
        self.notes.push(note);
        self
    }
}
