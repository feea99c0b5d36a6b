//! The files on the boot partition, as types: the state block, the contents of each slot, the ledger.

use crate::boot::grub::menu_entry::{self, Content};
use crate::boot::ledger::Ledger;
use crate::boot::record::{self, Record};
use crate::boot::sealed::Sealed;
use crate::boot::state::{Copies, State};
use crate::disk::installed::boot_partition::BootPartition;
use crate::error::{Result, failed};
use crate::words::region::{Region, TableKind};
use crate::words::slot::Slot;
use std::collections::BTreeMap;

/// Paths of the two copies of the state block. Copy 1 is written and read first.
pub const STATE: [&str; 2] = ["flipslot/state-1", "flipslot/state-2"];
/// Path of the downtime ledger.
pub const LEDGER: &str = "flipslot/ledger.json";

/// Path of the list of slot positions; present only where the table has no names (MBR).
pub const SLOT_REGIONS: &str = "flipslot/slots.json";

/// Returns the path of a slot's menu entry.
pub fn entry_path(slot: Slot) -> String {
    format!("flipslot/slot-{slot}.cfg")
}

/// Returns the path of a slot's record.
pub fn record_path(slot: Slot) -> String {
    format!("flipslot/slot-{slot}.json")
}

/// Path of GRUB for UEFI.
pub const EFI: &str = "EFI/BOOT/BOOTX64.EFI";
/// Path of the configuration that GRUB reads first.
pub const CONFIG: &str = "grub/grub.cfg";

/// Lists all files of the boot partition of a disk with that table and these slots.
pub fn all(table: TableKind, slots: impl Iterator<Item = Slot>) -> Vec<String> {
    let mut files = [EFI, CONFIG, STATE[0], LEDGER, STATE[1]].map(ToOwned::to_owned).to_vec();
    files.extend((table == TableKind::Mbr).then(|| SLOT_REGIONS.to_owned()));
    files.extend(slots.flat_map(|slot| [entry_path(slot), record_path(slot)]));
    files
}

/// Contents of a slot.
#[derive(Debug, Clone)]
pub enum Holding {
    /// No image.
    Nothing,
    /// The remains of a flash that did not finish.
    Half,
    /// A complete image.
    Whole(Box<Record>),
    /// An entry and a record that do not belong together, or cannot be read.
    Damaged,
}

impl Holding {
    /// Returns the record of a slot that holds an image.
    pub fn record(&self) -> Option<&Record> {
        match self {
            Holding::Whole(record) => Some(record),
            _ => None,
        }
    }
}

/// The files of a boot partition that flipslot made.
pub struct BootFiles {
    partition: BootPartition,
}

impl BootFiles {
    /// Opens the files of this boot partition; `None` if it has no state block, and so is not flipslot's.
    pub fn new(partition: BootPartition) -> Result<Option<BootFiles>> {
        for copy in STATE {
            if partition.read(copy)?.is_some() {
                return Ok(Some(BootFiles { partition }));
            }
        }
        Ok(None)
    }

    /// Reads the positions of the slots, as recorded when the disk was made; `None` if there is no readable
    /// record of them.
    pub fn slot_regions(&self) -> Result<Option<BTreeMap<Slot, Region>>> {
        let text = self.partition.read(SLOT_REGIONS)?;
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    /// Reads both copies of the state block.
    pub fn state(&self) -> Result<Copies> {
        let copy = |path| Ok::<_, anyhow::Error>(self.partition.read(path)?.unwrap_or_default());
        Ok(Copies::parse(&copy(STATE[0])?, &copy(STATE[1])?))
    }

    /// Writes the state block. One copy is intact at every moment, and the new state counts once one copy of
    /// it is complete. A copy that cannot be written (one that was cut short, because its size is fixed) does
    /// no harm as long as the other one counts.
    pub fn write_state(&self, state: State) -> Result<()> {
        let [first, second] = STATE.map(|path| self.partition.write(path, &state.render()));
        let Err(error) = first.and(second) else { return Ok(()) };
        match self.state()? {
            Copies::Whole(now) | Copies::Half(now, _) if now == state => {
                crate::stderr!("flipslot: only one copy of the state block was written: {error:#}");
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Reads the contents of `slot` from its entry and record.
    pub fn holding(&self, slot: Slot) -> Result<Holding> {
        let entry = self.partition.read(&entry_path(slot))?.unwrap_or_default();
        for (content, holding) in [(Content::Empty, Holding::Nothing), (Content::Half, Holding::Half)] {
            if entry.starts_with(menu_entry::first_line(slot, content).as_bytes()) {
                return Ok(holding);
            }
        }
        let record = record::parse(&self.partition.read(&record_path(slot))?.unwrap_or_default());
        let whole = record.filter(|record| menu_entry::boots(&entry, record.entry()));
        Ok(whole.map_or(Holding::Damaged, |record| Holding::Whole(Box::new(record))))
    }

    /// Returns whether GRUB finds something to boot in the entry of a slot, whatever its record says.
    pub fn boots(&self, slot: Slot) -> Result<bool> {
        let Some(entry) = self.partition.read(&entry_path(slot))? else { return Ok(false) };
        let is = |content| entry.starts_with(menu_entry::first_line(slot, content).as_bytes());
        Ok(!is(Content::Empty) && !is(Content::Half))
    }

    /// Returns whether the files of a slot exist in the size that they were made with.
    pub fn has_room(&self, slot: Slot) -> Result<bool> {
        let size = |path: String| Ok::<_, anyhow::Error>(self.partition.read(&path)?.map(|bytes| bytes.len()));
        Ok((size(entry_path(slot))?, size(record_path(slot))?) == (Some(menu_entry::SIZE), Some(record::SIZE)))
    }

    /// Withdraws a slot before it is written: neither GRUB nor `switch` finds anything in it any more.
    pub fn withdraw(&self, slot: Slot) -> Result<()> {
        self.partition.write_head_first(&entry_path(slot), &menu_entry::render(slot, Content::Half)?)?;
        self.partition.write(&record_path(slot), &record::render(None)?)
    }

    /// Publishes the record of a slot: the last step of a flash. From here on the slot can be chosen. Fails if the boot
    /// partition does not read back what was written.
    ///
    /// ```no_run
    /// # use flipslot::{boot, disk::installed::boot_files::BootFiles, error::Result, words::slot::Slot};
    /// fn last_step(files: &BootFiles, slot: Slot, written: &boot::sealed::Sealed) -> Result<()> {
    ///     files.publish(slot, written)
    /// }
    /// ```
    ///
    /// The record of a slot that was not sealed is not taken:
    ///
    /// ```compile_fail,E0308
    /// # use flipslot::{boot, disk::installed::boot_files::BootFiles, error::Result, words::slot::Slot};
    /// fn last_step(files: &BootFiles, slot: Slot, written: &boot::record::Record) -> Result<()> {
    ///     files.publish(slot, written)
    /// }
    /// ```
    pub fn publish(&self, slot: Slot, sealed: &Sealed) -> Result<()> {
        self.write_image(slot, sealed.record())
    }

    /// Publishes a slot that is published already under other names, as `rename` changes its record. A slot that holds
    /// no image is left alone.
    pub fn republish(&self, slot: Slot, rename: impl FnOnce(Record) -> Record) -> Result<()> {
        match self.holding(slot)? {
            Holding::Whole(record) => self.write_image(slot, &rename(*record)),
            Holding::Nothing | Holding::Half | Holding::Damaged => Ok(()),
        }
    }

    fn write_image(&self, slot: Slot, record: &Record) -> Result<()> {
        let entry = menu_entry::render(slot, Content::Entry(&record.grub))?;
        self.partition.write(&record_path(slot), &record::render(Some(record))?)?;
        self.partition.write_head_last(&entry_path(slot), &entry)?;
        match self.holding(slot)? {
            Holding::Whole(written) if *written == *record => Ok(()),
            other => Err(failed(
                format!("the boot partition reads back something other than what was written to it: {other:?}"),
                "check the disk: smartctl -a DISK",
            )),
        }
    }

    /// Reads the downtime ledger; a damaged one counts as empty.
    pub fn ledger(&self) -> Result<Ledger> {
        Ok(Ledger::parse(&self.partition.read(LEDGER)?.unwrap_or_default()))
    }

    /// Writes the downtime ledger.
    pub fn write_ledger(&self, ledger: &Ledger) -> Result<()> {
        self.partition.write(LEDGER, &ledger.render()?)
    }
}
