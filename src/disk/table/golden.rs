//! The table of a disk that is copied, GPT or MBR, and its form on the copy: the same partitions with
//! identifiers of their own, and `data` as large as the new disk allows.

use crate::disk::table::gpt::LAST;
use crate::disk::table::gpt_copy::GoldenGpt;
use crate::disk::table::ids::Ids;
use crate::disk::table::mbr_copy::GoldenMbr;
use crate::disk::table::mbr_sector::END;
use crate::disk::table::partitions::Table;
use crate::disk::table::{mbr, read as table};
use crate::error::{Result, failed};
use crate::words::partuuid::PartUuid;
use crate::words::region::{Region, Run, TableKind};
use crate::words::units::MIB;
use std::collections::BTreeMap;
use std::fs::File;
use uuid::Uuid;

/// Name of the data partition, in the table or, for an MBR, in this program.
const DATA: &str = "data";

/// A partition of the disk that is copied.
#[derive(Debug, Clone)]
pub struct Part {
    /// Position on the disk that is copied.
    pub region: Region,
    /// Name in the table; the purpose, where the table has no names.
    pub name: String,
    /// PARTUUID of the partition.
    pub partuuid: PartUuid,
}

/// The table of the disk that is copied.
pub struct GoldenTable {
    kind: Kind,
    /// Size of a logical sector in bytes.
    pub sector: u64,
    /// Partitions in the order of their numbers.
    pub parts: Vec<Part>,
}

enum Kind {
    Gpt(GoldenGpt),
    Mbr(GoldenMbr),
}

impl GoldenTable {
    /// Reads what `table` does not contain, from a disk of `size` bytes.
    pub fn read(disk: &File, size: u64, table: &Table) -> Result<GoldenTable> {
        let sector = table.sector;
        let (kind, parts) = match table.kind {
            TableKind::Gpt => {
                let gpt = GoldenGpt::read(disk, sector)?;
                let parts = gpt.parts()?;
                (Kind::Gpt(gpt), parts)
            }
            TableKind::Mbr => (Kind::Mbr(GoldenMbr::read(disk, size)?), named(table)),
        };
        let part = |(region, name, partuuid)| Part { region, name, partuuid };
        Ok(GoldenTable { kind, sector, parts: parts.into_iter().map(part).collect() })
    }

    /// Returns the kind of the table.
    pub fn kind(&self) -> TableKind {
        match self.kind {
            Kind::Gpt(_) => TableKind::Gpt,
            Kind::Mbr(_) => TableKind::Mbr,
        }
    }

    /// Makes identifiers that no other disk has.
    pub fn fresh_ids(&self) -> Ids {
        match self.kind {
            Kind::Gpt(_) => {
                let of_part = |part: &Part| (part.region.number, Uuid::new_v4());
                Ids::Gpt(Uuid::new_v4(), self.parts.iter().map(of_part).collect::<BTreeMap<_, _>>())
            }
            Kind::Mbr(_) => Ids::fresh_mbr(),
        }
    }

    /// Returns the disk's GUID; `None` for an MBR, which has a signature in the names of its partitions instead.
    pub fn disk_guid(&self) -> Option<Uuid> {
        match &self.kind {
            Kind::Gpt(gpt) => Some(gpt.disk_guid()),
            Kind::Mbr(_) => None,
        }
    }

    /// Returns the end of the last partition in bytes: nothing but the backup table lies behind it.
    pub fn end(&self) -> u64 {
        self.parts.iter().map(|part| part.region.start + part.region.size).max().unwrap_or(0)
    }

    /// Returns the size in bytes of the smallest disk that can be a copy.
    pub fn smallest(&self) -> u64 {
        match &self.kind {
            Kind::Gpt(_) => self.end() + self.backup(),
            Kind::Mbr(mbr) => self.end().max(mbr.extended_end()),
        }
    }

    /// Fails unless the table on a copy of `size` bytes can be read, and every partition in it is at its
    /// intended position.
    pub fn refuse_other(&self, disk: &File, size: u64) -> Result<()> {
        let found = table::describe(disk, size, self.sector)?;
        let other = found.partitions.iter().find(|found| {
            let part = self.parts.iter().find(|part| part.region.number == found.number);
            let due = part.map(|part| self.on_copy(part, size));
            due.is_none_or(|due| (found.start, found.size) != (due.start, due.size))
        });
        match other {
            None => Ok(()),
            Some(other) => Err(failed(
                format!("partition {} of the copy is not where it must be", other.number),
                "report it, with the table of the golden disk: sfdisk --dump",
            )),
        }
    }

    /// Returns the size in bytes of the table at the end of the disk.
    fn backup(&self) -> u64 {
        match self.kind {
            Kind::Gpt(_) => GoldenGpt::backup(self.sector),
            Kind::Mbr(_) => 0,
        }
    }

    /// Returns the region of `data` on a copy of `size` bytes, if it is the last partition and grows: up to
    /// the last whole MiB that the table reaches and does not need itself, as with `create`.
    pub fn grown_data(&self, size: u64) -> Option<Region> {
        let data = self.parts.iter().find(|part| part.name == DATA)?.region;
        let end = match self.kind() {
            TableKind::Gpt => size.saturating_sub(self.backup()),
            TableKind::Mbr => size.saturating_sub(LAST).min(END),
        };
        let end = end / MIB * MIB;
        let is_last = data.start + data.size == self.end();
        (is_last && end >= self.end() + MIB).then(|| Region { size: end - data.start, ..data })
    }

    /// Returns the region of a partition on a copy of `size` bytes.
    pub fn on_copy(&self, part: &Part, size: u64) -> Region {
        self.grown_data(size).filter(|data| data.number == part.region.number).unwrap_or(part.region)
    }

    /// Renders the table of a copy of `size` bytes. The first run is `first_mib`, the first MiB of the golden disk
    /// with its boot code, with the new table in it.
    pub fn renewed(&self, ids: &Ids, size: u64, first_mib: Vec<u8>) -> Result<Vec<Run>> {
        let grown = self.grown_data(size);
        match &self.kind {
            Kind::Gpt(gpt) => gpt.renewed(ids, size, grown, first_mib),
            Kind::Mbr(mbr) => mbr::checked(mbr.renewed(ids, grown, first_mib)?, size),
        }
    }
}

/// Lists the partitions of an MBR with names, which it does not have itself.
fn named(table: &Table) -> Vec<(Region, String, PartUuid)> {
    let slots = table.slots.iter().map(|(slot, (region, id))| (*region, format!("slot-{slot}"), *id));
    let shared = table.shared.iter().map(|(region, name, id)| {
        let name = match region.number {
            number if number == table.boot.number => "boot",
            number if Some(number) == table.data => DATA,
            _ => name,
        };
        (*region, name.to_owned(), *id)
    });
    let mut parts: Vec<_> = slots.chain(shared).collect();
    parts.sort_by_key(|(region, ..)| region.number);
    parts
}
