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
use crate::oci::{Image, Reference};
use crate::output::print::say;
use crate::request::location::Place;
use crate::words::digest::Digest;
use crate::words::region::{Region, TableKind};
use crate::words::slot::Slot;
use crate::words::units::Bytes;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A plan; `version` is that of the JSON form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    version: u32,
    /// Name of the command.
    verb: String,
    disk: String,
    /// Size of the disk in bytes.
    size: u64,
    /// Size of a logical sector in bytes.
    sector_size: u64,
    table: TableKind,
    /// True if the partition table is written, too.
    table_written: bool,
    partitions: Vec<Planned>,
    /// Files of the boot partition that are written.
    boot_files: Vec<String>,
    images: Vec<PlannedImage>,
    /// Bytes of all layers that come from a registry, as they are stored there.
    bytes_to_fetch: u64,
    /// Further remarks for people.
    notes: Vec<String>,
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

/// A partition, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    number: u32,
    name: String,
    /// Offset of the first byte.
    start: u64,
    /// Length in bytes.
    size: u64,
    fate: Fate,
    /// Filesystem that is made in the partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    filesystem: Option<String>,
}

/// Fate of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// The partition stays as it is, byte for byte.
    Kept,
    /// Files in the partition are rewritten in place.
    Changed,
    /// The previous contents are lost.
    Written,
    /// The partition exists afterwards, but its contents mean nothing.
    Empty,
}

/// An image that is to be written into a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedImage {
    slot: Slot,
    reference: String,
    digest: String,
    stored_bytes: u64,
    /// Title of what the slot holds now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaces: Option<String>,
}

impl Plan {
    /// Plans to write slots of an existing disk.
    pub fn of_slots(
        verb: &str,
        disk: &Disk,
        images: &[(Place, Image)],
        of: impl Fn(Slot) -> Filesystem,
    ) -> Result<Plan> {
        let mut partitions: Vec<Planned> = disk
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
                planned(*region, name, if is_boot { Fate::Changed } else { Fate::Kept })
            })
            .collect();
        for (slot, (region, _)) in &disk.table.slots {
            let is_written = images.iter().any(|(place, _)| place.slot == *slot);
            let fate = if is_written { Fate::Written } else { Fate::Kept };
            let filesystem = is_written.then(|| of(*slot).to_string());
            partitions.push(Planned { filesystem, ..planned(*region, &format!("slot-{slot}"), fate) });
        }
        partitions.sort_by_key(|partition| partition.number);
        let slots = images.iter().flat_map(|(place, _)| [entry_path(place.slot), record_path(place.slot)]);
        let boot_files = slots.chain(STATE.map(ToOwned::to_owned)).collect();
        let (table, sector_size) = (disk.table.kind, disk.table.sector);
        let plan = Plan { table, sector_size, partitions, boot_files, ..Plan::blank(verb, &disk.path, disk.size) };
        let mut plan = plan.fetching(images);
        for image in &mut plan.images {
            image.replaces = disk.files.holding(image.slot)?.record().map(|record| record.entry.title.clone());
        }
        Ok(plan)
    }

    /// Plans to make a disk.
    pub fn of_disk(path: &Path, layout: &Layout, images: &[(Place, Image)], of: impl Fn(Slot) -> Filesystem) -> Plan {
        let mut partitions = Vec::new();
        if layout.core.number > 0 {
            partitions.push(planned(layout.core, "bios-boot", Fate::Written));
        }
        let boot = planned(layout.boot, "boot", Fate::Written);
        partitions.push(Planned { filesystem: Some("vfat".to_owned()), ..boot });
        for (slot, region) in (0..).map_while(Slot::at).zip(&layout.slots) {
            let is_written = images.iter().any(|(place, _)| place.slot == slot);
            let fate = if is_written { Fate::Written } else { Fate::Empty };
            let filesystem = is_written.then(|| of(slot).to_string());
            partitions.push(Planned { filesystem, ..planned(*region, &format!("slot-{slot}"), fate) });
        }
        partitions.extend(layout.data.map(|region| planned(region, "data", Fate::Empty)));
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
            Planned { filesystem, ..planned(golden.table.on_copy(part, size), &part.name, Fate::Written) }
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

    fn fetching(mut self, images: &[(Place, Image)]) -> Plan {
        let image = |(place, image): &(Place, Image)| PlannedImage {
            slot: place.slot,
            reference: image.reference.to_string(),
            digest: image.digest.to_string(),
            stored_bytes: image.stored_bytes(),
            replaces: None,
        };
        self.images = images.iter().map(image).collect();
        let fetched = images.iter().filter(|(_, image)| matches!(image.reference, Reference::Registry { .. }));
        self.bytes_to_fetch = fetched.map(|(_, image)| image.stored_bytes()).sum();
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

    /// Prints the plan, as one JSON document or as text.
    pub fn print(&self, json: bool) -> Result<()> {
        say(&if json { serde_json::to_string_pretty(self)? + "\n" } else { self.text() })
    }

    /// Formats the plan for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for PlannedImage { slot, reference, digest, stored_bytes, replaces } in &self.images {
            let now = match replaces {
                _ if self.table_written => String::new(),
                Some(title) => format!("; {title} would go"),
                None => "; it holds nothing that boots".to_owned(),
            };
            let _ = writeln!(text, "would write {reference} into slot {slot} of {}{now}", self.disk);
            let _ = writeln!(text, "  {digest}, {} as it is stored", Bytes(*stored_bytes));
        }
        if !self.images.is_empty() {
            let _ = writeln!(text, "  {} to fetch", Bytes(self.bytes_to_fetch));
        }
        self.notes.iter().for_each(|note| {
            let _ = writeln!(text, "  {note}");
        });
        let made = if self.table_written { "a new table" } else { "the table stays" };
        let _ = writeln!(text, "  {}: {}, {}, {made}", self.disk, Bytes(self.size), self.table);
        for Planned { number, name, start, size, fate, filesystem } in &self.partitions {
            let fate = match (fate, filesystem) {
                (Fate::Kept, _) => "kept".to_owned(),
                (Fate::Changed, _) => format!("changed: {}", self.boot_files.join(" ")),
                (Fate::Written, Some(filesystem)) if *name == "boot" => {
                    format!("written: {filesystem}: {}", self.boot_files.join(" "))
                }
                (Fate::Written, Some(filesystem)) => format!("written: {filesystem}"),
                (Fate::Written, None) => "written".to_owned(),
                (Fate::Empty, _) => "empty".to_owned(),
            };
            let _ = writeln!(text, "  {number:>3}  {name:<10} {start:>14} + {size:<14} {fate}");
        }
        text
    }
}

fn planned(region: Region, name: &str, fate: Fate) -> Planned {
    let Region { number, start, size } = region;
    Planned { number, name: name.to_owned(), start, size, fate, filesystem: None }
}
