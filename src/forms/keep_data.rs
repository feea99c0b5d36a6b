//! Images into slots of a disk that flipslot has made before: `create --keep-data`.

use crate::boot::state::State;
use crate::boot::trial::{BootedBy, Terms};
use crate::build::session::Session;
use crate::check::subject::OLDEST_GRUB;
use crate::disk::installed::boot_files::Holding;
use crate::disk::installed::claim::Expendable;
use crate::disk::installed::open::Disk;
use crate::disk::probe::Probe;
use crate::disk::safety::members;
use crate::disk::which::fingerprint::Fingerprint;
use crate::disk::which::whole;
use crate::error::{Result, refused};
use crate::forms::slot::formatted::SlotSite;
use crate::forms::slot::root_file::refuse_without_data;
use crate::forms::slot::{self, SealedSlot, SlotJob};
use crate::output::plan::Plan;
use crate::output::written::SlotResult;
use crate::request::consent::Consent;
use crate::request::disk::FillRequest;
use crate::request::images::SlotImage;
use crate::words::location::SlotLocation;
use crate::words::origin::Origin;
use crate::words::slot::Slot;
use anyhow::Context;
use std::collections::BTreeMap;

/// The slots that are named, claimed to be written.
pub struct ClaimedSlots<'d> {
    disk: &'d Disk,
    request: &'d FillRequest,
    claimed: Vec<Expendable>,
}

/// The state block while slots are written, and after that.
struct States {
    until_then: State,
    after: State,
}

/// Refuses the disk that this system runs from.
pub fn refuse_running(disk: &Disk) -> Result<()> {
    match disk.running {
        Some(slot) => Err(refused(
            format!("this system runs from slot {slot} of {}", disk.path.display()),
            "write its other slot: flipslot flash REFERENCE --slot SLOT",
        )),
        None => Ok(()),
    }
}

impl<'d> ClaimedSlots<'d> {
    /// Claims the slots of `request`, in their order. Refuses a slot that holds something else.
    pub fn claim(disk: &'d Disk, request: &'d FillRequest, consent: &Consent) -> Result<ClaimedSlots<'d>> {
        refuse_without_data(request.slot.root, disk.data().is_some())?;
        let slots = request.images.keys();
        let claimed: Vec<Expendable> = slots.map(|slot| Expendable::claim_any(disk, *slot)).collect::<Result<_>>()?;
        for slot in &claimed {
            let found = members::find(&Probe::of(&disk.file), disk.size, &[slot.idle().region])?;
            members::refuse(&disk.path.display().to_string(), &found, consent.destroy(), &BTreeMap::new())?;
        }
        Ok(ClaimedSlots { disk, request, claimed })
    }

    /// Fails unless the user gives up what the slots hold.
    pub fn approve(&self, consent: &Consent) -> Result<()> {
        let disk = self.disk;
        if let Some(path) = disk.device() {
            let slots: Vec<String> = self.request.images.keys().map(|slot| format!("slot {slot}")).collect();
            let lost = format!("The contents of {}", slots.join(" and "));
            return consent.approve(path, &whole::identity_of(&disk.file, &path.display().to_string())?, &lost);
        }
        for slot in self.request.images.keys() {
            let what = match disk.files.holding(*slot)? {
                Holding::Whole(record) => record.entry().title.clone(),
                Holding::Damaged => "something on which its entry and its record disagree".to_owned(),
                Holding::Nothing | Holding::Half => continue,
            };
            consent.approve_file(&disk.path, &format!("slot {slot} of {} holds {what}", disk.path.display()))?;
        }
        Ok(())
    }

    /// Looks up every image, and refuses those that cannot fit.
    pub fn look_up(&self, session: Session) -> Result<Vec<SlotImage>> {
        let _step = session.progress.step(None, "looking up images", None);
        let mut images = Vec::new();
        for ((slot, reference), claimed) in self.request.images.iter().zip(&self.claimed) {
            let (region, partuuid) = (claimed.idle().region, claimed.idle().partuuid);
            let location = SlotLocation { slot: *slot, region, partuuid, table: self.disk.table.kind };
            let one = SlotImage::resolve(location, reference, &self.request.slot)?;
            self.request.slot.older.refuse(&one.image, self.disk)?;
            images.push(one);
        }
        Ok(images)
    }

    /// Returns what would be done to the disk.
    pub fn preview(&self, images: &[SlotImage]) -> Result<Plan> {
        Plan::of_slots("create", self.disk, images, |slot| self.request.slot.filesystem(slot))
    }

    /// Returns the fingerprint that must equal the one in a plan.
    pub fn fingerprint(&self) -> Result<Fingerprint> {
        let disk = self.disk;
        match disk.device() {
            Some(path) => Ok(whole::identity_of(&disk.file, &path.display().to_string())?.fingerprint()),
            None => Fingerprint::of_open(&disk.file),
        }
    }

    /// Writes the slots. Nothing points at a slot while it is written; in the meantime the disk boots a slot that is
    /// not named, if one holds an image.
    pub fn write(&self, images: &[SlotImage], session: Session) -> Result<Vec<SlotResult>> {
        self.disk.repair_state_block()?;
        let states = self.states()?;
        self.disk.files.write_state(states.until_then)?; // boots until the end
        let write = |(one, slot): (&SlotImage, &Expendable)| Ok(self.write_one(slot, one, session)?.result(one));
        let results = images.iter().zip(&self.claimed).map(write).collect::<Result<_>>()?;
        self.disk.files.write_state(states.after)?; // boots from now on
        Ok(results)
    }

    fn write_one(&self, slot: &Expendable, one: &SlotImage, session: Session) -> Result<SealedSlot> {
        let SlotImage { location, image } = one;
        let doing = || format!("slot {}", location.slot);
        let names = self.disk.partition_names(location.slot)?;
        let site =
            SlotSite { location: *location, names, grub: OLDEST_GRUB, origin: Origin::Fresh, data: self.disk.data() };
        let vacant = slot.vacant()?;
        let job = SlotJob { image, request: &self.request.slot, carry_over: None };
        self.disk.files.withdraw(location.slot)?; // from here on nothing points at it
        let bootable = slot::make_bootable(vacant, site, job, session).with_context(doing)?;
        let sealed = bootable.seal(job, session).with_context(doing)?;
        self.disk.files.publish(location.slot, &sealed.sealed)?; // now it can be chosen
        Ok(sealed)
    }

    /// Returns the states. A proven slot that is not named stays proven. If it is named, the first named slot is tried,
    /// as after a switch, if there is another slot to fall back to.
    fn states(&self) -> Result<States> {
        let now = self.disk.state()?;
        let first = *self.request.images.keys().next().context("no slot is named")?;
        let spared = self.request.images.keys().try_fold(now, |state, slot| state.flashing(*slot));
        Ok(match (spared, self.keeper()?) {
            (Some(spared), _) => States { until_then: spared, after: spared },
            (None, Some(keeper)) => {
                let kept = State::first(keeper);
                States { until_then: kept, after: kept.confirmed(first, BootedBy::Kexec, Terms::default()) }
            }
            (None, None) => States { until_then: now, after: State::first(first) },
        })
    }

    /// Returns the slot that is not named and that the disk boots until all are written: the proven one, or another
    /// one that holds an image.
    fn keeper(&self) -> Result<Option<Slot>> {
        let proven = self.disk.state()?.proven;
        for slot in std::iter::once(proven).chain(self.disk.table.slots.keys().copied()) {
            if !self.request.images.contains_key(&slot) && self.disk.files.holding(slot)?.record().is_some() {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }
}
