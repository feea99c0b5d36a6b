//! A machine with three slots, as commands, GRUB, failures and people change it. The state block is
//! the real one; what is written down again here are the rules around it.

use flipslot::boot::ledger::Confirm;
use flipslot::boot::state::{Copies, State};
use flipslot::boot::trial::{BootedBy, Terms};
use flipslot::words::slot::Slot;

/// How many slots the disk has: one that runs, one that is proven, and one more.
const SLOTS: u32 = 3;

/// The slots of the disk.
pub fn slots() -> impl Iterator<Item = Slot> + Clone {
    (0..SLOTS).filter_map(Slot::at)
}

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holds {
    Nothing,
    /// What a flash left that did not come to its end.
    Half,
    /// An image that nobody has seen healthy after the firmware brought it up.
    Untried,
    /// The very image that came up from the firmware and was confirmed, or was promoted, or was the
    /// first of the new disk.
    Proven,
}

/// What runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Power {
    /// Nothing: the next thing that happens is GRUB.
    Off,
    /// A slot. It may have been told to restart: until it does, every command still works.
    Runs { slot: Slot, by: BootedBy, confirmed: bool },
}

/// The terms of every trial.
pub fn terms() -> Terms {
    Terms { confirm: Confirm::Manual, deadline: 90 }
}

/// What happens to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// A flash that comes to its end; of a machine that is off, from elsewhere.
    Flash(Slot),
    /// A flash that ends after the slot was withdrawn: an error, a kill, a power cut.
    FlashFails(Slot),
    /// A flash that is cut off between its first two effects: the state block, and the withdrawal.
    FlashIsCut(Slot),
    /// The same three, after the running slot was made the fallback.
    PromoteAndFlash(Slot),
    PromoteAndFlashFails(Slot),
    PromoteAndFlashIsCut(Slot),
    /// A jump that arrives; one that does not is this and a power cut.
    SwitchByKexec(Slot),
    /// A jump that is killed, or that systemd gives up, after its last write.
    SwitchByKexecStops(Slot),
    /// Asks GRUB to try the slot; the restart itself is a power cut, and it may never come.
    SwitchByFirmware(Slot),
    /// A jump back; the state block is written before it.
    Rollback,
    /// A rollback through the firmware, whose restart may never come; or one that is killed.
    RollbackByFirmware,
    /// Takes back what a jump has written that was not made.
    Cleanup,
    Confirm,
    /// A panic, a hang, a deadline, a restart, or no power.
    PowerCut,
    /// GRUB's choice comes up.
    Boots,
    /// GRUB's choice ends in a reset.
    BootFails,
    /// Someone at the console chooses in GRUB's menu, and that slot comes up.
    ChosenByHand(Slot),
}

/// The machine and its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Machine {
    pub state: State,
    pub holds: [Holds; SLOTS as usize],
    pub power: Power,
    /// In the memory of what runs: the state before a jump that has begun, and after.
    jump: Option<(State, State)>,
}

impl Machine {
    /// A new disk with an image in its first slot, never booted.
    pub fn new() -> Machine {
        let first = Slot::at(0).unwrap();
        Machine {
            state: State::first(first),
            holds: [Holds::Proven, Holds::Nothing, Holds::Nothing],
            power: Power::Off,
            jump: None,
        }
    }

    pub fn holds(&self, slot: Slot) -> Holds {
        self.holds[slot.index() as usize]
    }

    /// Whether the slot has a menu entry.
    pub fn is_whole(&self, slot: Slot) -> bool {
        matches!(self.holds(slot), Holds::Untried | Holds::Proven)
    }

    /// The machine after `event`; `None` if that cannot happen, or is refused.
    pub fn after(self, event: Event) -> Option<Machine> {
        let idle = self.without_jump();
        match event {
            Event::Flash(slot) => Some(idle.flashing(slot, idle.state)?.holding(slot, Holds::Untried)),
            Event::FlashFails(slot) => Some(idle.flashing(slot, idle.state)?.holding(slot, Holds::Half)),
            Event::FlashIsCut(slot) => idle.flashing(slot, idle.state),
            Event::PromoteAndFlash(slot) => Some(idle.promoting(slot)?.holding(slot, Holds::Untried)),
            Event::PromoteAndFlashFails(slot) => Some(idle.promoting(slot)?.holding(slot, Holds::Half)),
            Event::PromoteAndFlashIsCut(slot) => idle.promoting(slot),
            Event::SwitchByKexec(slot) => {
                Some(self.after(Event::SwitchByKexecStops(slot))?.running(slot, BootedBy::Kexec))
            }
            Event::SwitchByKexecStops(slot) => idle.beginning(slot, idle.state.jumping(slot)),
            Event::SwitchByFirmware(slot) => idle.beginning(slot, idle.state.trying(slot, terms())),
            Event::Rollback => {
                let begun = self.after(Event::RollbackByFirmware)?;
                Some(begun.running(begun.state.proven, BootedBy::Kexec))
            }
            Event::RollbackByFirmware => {
                let state = idle.way_back()?;
                idle.beginning(state.proven, state)
            }
            Event::Cleanup => self.jump.map(|_| idle),
            Event::Confirm => self.confirmed(),
            Event::PowerCut => (self.power != Power::Off).then_some(self.off()),
            Event::Boots => {
                let (counted, choice) = self.grub()?;
                let (slot, by) = choice?;
                Some(counted.running(slot, by))
            }
            Event::BootFails => Some(self.grub()?.0),
            Event::ChosenByHand(slot) => {
                let (counted, _) = self.grub()?;
                self.is_whole(slot).then(|| counted.running(slot, self.started_by_grub(slot)))
            }
        }
    }

    /// `commands/flash.rs` and `disk/installed/claim.rs`, up to the write of the state block. That a trial is to
    /// be confirmed first is for its health check's sake; here it may flash, and nothing is lost.
    fn flashing(self, slot: Slot, state: State) -> Option<Machine> {
        if let Power::Runs { slot: running, .. } = self.power
            && running == slot
        {
            return None;
        }
        state.flashing(slot).map(|state| self.writing(state))
    }

    /// `flash --promote`: only of a slot that is confirmed, or was started as the fallback.
    fn promoting(self, slot: Slot) -> Option<Machine> {
        let Power::Runs { slot: running, by, confirmed } = self.power else { return None };
        let is_healthy = confirmed || !by.is_trial();
        let flashing = self.flashing(slot, self.state.promoted(running)).filter(|_| is_healthy)?;
        Some(flashing.holding(running, Holds::Proven))
    }

    /// A jump into `slot`, up to its last write (`jump/route.rs`). It must be another slot than the
    /// running one, and whole (`jump/ready.rs`).
    fn beginning(self, slot: Slot, state: State) -> Option<Machine> {
        let Power::Runs { slot: running, .. } = self.power else { return None };
        let begun = Machine { jump: Some((self.state, state)), ..self.writing(state) };
        (running != slot && self.is_whole(slot)).then_some(begun)
    }

    /// `jump/leftovers.rs`: unless something else has changed the state since.
    pub fn without_jump(self) -> Machine {
        let idle = Machine { jump: None, ..self };
        match self.jump {
            Some((before, after)) if self.state == after => idle.writing(before),
            _ => idle,
        }
    }

    /// What runs has gone, and with it what it had in memory.
    pub fn off(self) -> Machine {
        Machine { power: Power::Off, jump: None, ..self }
    }

    /// What the disk says after a rollback of the running slot.
    pub fn way_back(self) -> Option<State> {
        let Power::Runs { slot: running, .. } = self.power else { return None };
        self.state.rolled_back(running)
    }

    /// `commands/confirm.rs`.
    fn confirmed(self) -> Option<Machine> {
        let Power::Runs { slot, by, .. } = self.power else { return None };
        let is_nothing_new = by == BootedBy::Proven && self.state.proven == slot;
        let state = if is_nothing_new { self.state } else { self.state.confirmed(slot, by, terms()) };
        let machine = Machine { power: Power::Runs { slot, by, confirmed: true }, ..self.writing(state) };
        Some(if by == BootedBy::Kexec { machine } else { machine.holding(slot, Holds::Proven) })
    }

    fn holding(mut self, slot: Slot, holds: Holds) -> Machine {
        self.holds[slot.index() as usize] = holds;
        self
    }

    fn running(self, slot: Slot, by: BootedBy) -> Machine {
        Machine { power: Power::Runs { slot, by, confirmed: false }, ..self.off() }
    }

    /// The disk says `state` from here on. A cut between its two copies loses nothing: the first
    /// one counts, whatever the second one still says.
    fn writing(self, state: State) -> Machine {
        let (old, new) = (self.state.render(), state.render());
        assert_eq!(State::parse(&new), Some(state), "what was written is what is read");
        assert!(matches!(Copies::parse(&new, &old), Copies::Whole(read) | Copies::Half(read, _) if read == state));
        Machine { state, ..self }
    }

    /// A reset: what GRUB leaves in the state block, and which slot it starts as what. `None` if
    /// something runs; no slot if nothing on the disk boots.
    pub fn grub(self) -> Option<(Machine, Option<(Slot, BootedBy)>)> {
        if self.power != Power::Off {
            return None;
        }
        // grub/20-state.cfg, on the bytes.
        let mut text = String::from_utf8(self.state.render().to_vec()).unwrap();
        let value = |key: &str| text.lines().rev().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let slot = |key: &str| value(key).and_then(|letter| letter.parse::<Slot>().ok()).unwrap();
        let (wanted, proven) = (slot("wanted"), slot("proven"));
        let left = ["0", "1", "2"].into_iter().zip(["tries=1\n", "tries=2\n", "tries=3\n"]);
        let left = left.into_iter().find(|(_, tries)| wanted != proven && text.contains(tries));
        let boot = if left.is_some() { wanted } else { proven };
        if let Some((less, tries)) = left {
            text = text.replace(tries, &format!("tries={less}\n"));
        }
        let counted = Machine { state: State::parse(text.as_bytes()).unwrap(), ..self };
        // grub/30-menu.cfg and 40-choice.cfg: only whole slots have an entry.
        let order = [boot, proven].into_iter().chain(slots());
        let choice = order.into_iter().find(|slot| self.is_whole(*slot));
        Some((counted, choice.map(|slot| (slot, self.started_by_grub(slot)))))
    }

    /// What a menu entry tells its kernel.
    fn started_by_grub(self, slot: Slot) -> BootedBy {
        if slot == self.state.proven { BootedBy::Proven } else { BootedBy::Firmware }
    }
}
