//! The boot partition of a new disk: GRUB, its static configuration, the state block, the ledger, and an entry and a
//! record for each slot.

use crate::boot::grub::config;
use crate::boot::grub::menu_entry::{self, Content};
use crate::boot::ledger::Ledger;
use crate::boot::record::{self, Record};
use crate::boot::state::State;
use crate::check::partition_names::BOOT_LABEL;
use crate::disk::fat;
use crate::disk::installed::boot_files::{CONFIG, EFI, LEDGER, SLOT_REGIONS, STATE, entry_path, record_path};
use crate::disk::new::layout::Layout;
use crate::error::Result;
use crate::forms::slot::SealedSlot;
use crate::words::region::{Region, TableKind};
use crate::words::slot::Slot;
use anyhow::Context;
use std::collections::BTreeMap;

/// Makes the bytes of the boot partition. The first of the slots is the one that boots.
pub fn make(layout: &Layout, efi: &[u8], sealed: &[SealedSlot]) -> Result<Vec<u8>> {
    let first = sealed.first().context("no slot was filled")?;
    let state = State::first(first.slot).render().to_vec();
    let mut files = vec![
        (EFI.to_owned(), efi.to_vec()),
        (CONFIG.to_owned(), config::CONFIG.into()),
        (STATE[0].to_owned(), state.clone()),
        // Between the two copies, so that they share no page and no physical sector.
        (LEDGER.to_owned(), Ledger::default().render()?),
        (STATE[1].to_owned(), state),
    ];
    if layout.table == TableKind::Mbr {
        let places: BTreeMap<Slot, Region> = (0..).map_while(Slot::at).zip(layout.slots.iter().copied()).collect();
        files.push((SLOT_REGIONS.to_owned(), serde_json::to_vec(&places)?));
    }
    for slot in (0..).map_while(Slot::at).take(layout.slots.len()) {
        let record = sealed.iter().find(|sealed| sealed.slot == slot).map(|sealed| sealed.sealed.record());
        files.extend(files_of_slot(slot, record)?);
    }
    let volume_id = u32::from_str_radix(&first.sealed.record().filesystem_uuid[..8], 16)?;
    fat::volume(layout.boot.size, layout.sector, BOOT_LABEL, volume_id, &files)
}

fn files_of_slot(slot: Slot, record: Option<&Record>) -> Result<[(String, Vec<u8>); 2]> {
    let content = record.map_or(Content::Empty, |record| Content::Entry(&record.grub));
    Ok([(entry_path(slot), menu_entry::render(slot, content)?), (record_path(slot), record::render(record)?)])
}
