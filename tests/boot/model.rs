//! Every state that a machine can come into, by every order of events, until no new one turns up.

use crate::boot::machine::{Event, Holds, Machine, Power, slots, terms};
use flipslot::boot::state::State;
use flipslot::boot::trial::BootedBy;
use flipslot::words::slot::Slot;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

/// GRUB counts at most three tries, so the fourth reset at the latest leads to the proven slot.
const MOST_RESETS: usize = 4;

fn events() -> Vec<Event> {
    let of_a_slot: [fn(Slot) -> Event; 10] = [
        Event::Flash,
        Event::FlashFails,
        Event::FlashIsCut,
        Event::PromoteAndFlash,
        Event::PromoteAndFlashFails,
        Event::PromoteAndFlashIsCut,
        Event::SwitchByKexec,
        Event::SwitchByKexecStops,
        Event::SwitchByFirmware,
        Event::ChosenByHand,
    ];
    let of_the_machine = [
        Event::Rollback,
        Event::RollbackByFirmware,
        Event::Cleanup,
        Event::Confirm,
        Event::PowerCut,
        Event::Boots,
        Event::BootFails,
    ];
    let all = of_a_slot.into_iter().flat_map(|event| slots().map(event));
    all.chain(of_the_machine).collect()
}

/// A reset at this moment boots a slot that is whole, and that was proven, or has a fallback that was.
fn what_boots_next_is_there(machine: Machine) -> Result<(), String> {
    let off = machine.off();
    let (counted, choice) = off.grub().expect("it is off");
    let (slot, by) = choice.ok_or("nothing boots")?;
    let said = machine.state.next_boot();
    if said != slot {
        return Err(format!("slot {said} should boot next, but GRUB starts slot {slot}"));
    }
    let fallback = counted.state.proven;
    if machine.holds(fallback) != Holds::Proven {
        return Err(format!("the fallback, slot {fallback}, never was proven: it holds {:?}", machine.holds(fallback)));
    }
    if (by == BootedBy::Proven) != (slot == fallback) {
        return Err(format!("slot {slot} is started as {by}, and slot {fallback} is the fallback"));
    }
    Ok(())
}

/// Resets alone, with nobody to help, end on the fallback and stay there.
fn failing_boots_end_on_the_fallback(machine: Machine) -> Result<(), String> {
    let mut machine = machine.off();
    let mut last = None;
    for _ in 0..=MOST_RESETS {
        let (counted, choice) = machine.grub().expect("it is off");
        (machine, last) = (counted, choice);
    }
    match last {
        Some((slot, BootedBy::Proven)) if machine.holds(slot) == Holds::Proven => Ok(()),
        other => Err(format!("after {MOST_RESETS} resets, {other:?} is what boots")),
    }
}

/// A rollback leads away from what runs, to the very image that was proven.
fn a_rollback_leads_to_what_was_proven(machine: Machine) -> Result<(), String> {
    let Some(back) = machine.way_back() else { return Ok(()) };
    let to = back.proven;
    let Power::Runs { slot: running, .. } = machine.power else { return Err("it does not run".to_owned()) };
    if to == running || back.next_boot() != to || machine.holds(to) != Holds::Proven {
        return Err(format!("a rollback from {running} leads to {to}, which holds {:?}", machine.holds(to)));
    }
    Ok(())
}

/// Each event has the effect on the next boot that it is there for.
fn what_was_asked_for_is_done(before: Machine, event: Event, after: Machine) -> Result<(), String> {
    let (next, proven) = (after.state.next_boot(), after.state.proven);
    let idle = before.without_jump().state;
    let done = match (event, before.power) {
        (Event::Flash(slot) | Event::FlashFails(slot) | Event::FlashIsCut(slot), _) => {
            next != slot && proven == idle.proven
        }
        (
            Event::PromoteAndFlash(slot) | Event::PromoteAndFlashFails(slot) | Event::PromoteAndFlashIsCut(slot),
            Power::Runs { slot: running, .. },
        ) => (next, proven) == (running, running) && slot != running,
        // The jump is the try: a reset must not lead there again.
        (Event::SwitchByKexec(slot) | Event::SwitchByKexecStops(slot), _) => {
            (next != slot || slot == proven) && proven == idle.proven
        }
        (Event::SwitchByFirmware(slot), _) => {
            let once = u8::from(slot != proven);
            let noted = after.state.terms_of(slot) == (slot != proven).then(terms);
            noted && (next, after.state.tries) == (slot, once) && proven == idle.proven
        }
        (Event::Confirm, Power::Runs { slot, by: BootedBy::Kexec, .. }) => {
            next == slot && proven == before.state.proven
        }
        (Event::Confirm, Power::Runs { slot, by: BootedBy::Firmware, .. }) => (next, proven) == (slot, slot),
        (Event::Rollback | Event::RollbackByFirmware, Power::Runs { slot: running, .. }) => {
            next == proven && next != running
        }
        // Without its terms, a trial that a person was to confirm would confirm itself.
        (Event::Boots, _) if is_trial_without_terms(after) => false,
        // GRUB's count is the only thing that a boot changes.
        (Event::Boots | Event::BootFails | Event::ChosenByHand(_), _) => {
            let (old, new) = (before.state, after.state);
            State { tries: old.tries, ..new } == old && new.tries <= old.tries
        }
        _ => true,
    };
    if done { Ok(()) } else { Err(format!("{event:?} led to {after:?}")) }
}

fn is_trial_without_terms(machine: Machine) -> bool {
    let Power::Runs { slot, by: BootedBy::Firmware, .. } = machine.power else { return false };
    machine.state.terms_of(slot) != Some(terms())
}

/// What is known of the machines that were seen: how each was reached first.
type Seen = HashMap<Machine, Option<(Machine, Event)>>;

fn story(seen: &Seen, machine: Machine) -> String {
    let mut lines = Vec::new();
    let mut here = machine;
    while let Some(Some((before, event))) = seen.get(&here) {
        lines.push(format!("  {event:?}\n      -> {here:?}"));
        here = *before;
    }
    lines.push(format!("  {here:?}"));
    lines.reverse();
    lines.join("\n")
}

#[test]
fn in_every_order_of_events_a_reset_ends_on_a_slot_that_was_proven() {
    let rules: [fn(Machine) -> Result<(), String>; 3] =
        [what_boots_next_is_there, failing_boots_end_on_the_fallback, a_rollback_leads_to_what_was_proven];
    let (events, mut happened) = (events(), BTreeSet::new());
    let mut seen = Seen::from([(Machine::new(), None)]);
    let mut newest = vec![Machine::new()];
    let (mut depth, mut steps) = (0, 0);
    while !newest.is_empty() {
        let mut next = Vec::new();
        for machine in newest {
            for rule in rules {
                rule(machine).unwrap_or_else(|broken| panic!("{broken}, after\n{}", story(&seen, machine)));
            }
            for event in &events {
                let Some(after) = machine.after(*event) else { continue };
                happened.insert(*event);
                steps += 1;
                what_was_asked_for_is_done(machine, *event, after)
                    .unwrap_or_else(|broken| panic!("{broken}, after\n{}", story(&seen, machine)));
                if let Entry::Vacant(place) = seen.entry(after) {
                    place.insert(Some((machine, *event)));
                    next.push(after);
                }
            }
        }
        depth += usize::from(!next.is_empty());
        newest = next;
    }
    println!("{} machines, {steps} steps between them, the last ones {depth} events away", seen.len());
    let missing: Vec<&Event> = events.iter().filter(|event| !happened.contains(*event)).collect();
    assert!(missing.is_empty(), "these never happened: {missing:?}");
    assert!(seen.len() > 2_000 && depth >= 12, "{} machines in {depth} events are too few", seen.len());
    assert!(seen.keys().any(|machine| machine.state.tries == 3 && machine.state.before.is_some()));
    let fallbacks: BTreeSet<Slot> = seen.keys().map(|machine| machine.state.proven).collect();
    assert!(fallbacks.into_iter().eq(slots()), "every slot was the fallback once");
}
