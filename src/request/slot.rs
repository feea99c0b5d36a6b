//! The user's request for a slot, whichever command fills it: flags and config file, joined and checked
//! before anything is read or written.

use crate::boot::cmdline::Cmdline;
use crate::boot::record::Record;
use crate::build::agent::Agent;
use crate::build::fill;
use crate::check::policy::Policy;
use crate::cli::{ImageArgs, WriteArgs};
use crate::error::{Result, usage};
use crate::filesystem::kind::{Filesystem, MkfsOptions};
use crate::hardware::{Choice, Inventory};
use crate::initramfs::source::Source;
use crate::oci::{Access, Platform};
use crate::request::by_slot;
use crate::request::by_slot::Values;
use crate::request::config::Config;
use crate::words::partuuid::PartUuid;
use crate::words::slot::Slot;
use anyhow::Context;
use std::path::Path;

/// A request for how slots are made and boot, and for how their images are found.
pub struct SlotWish {
    /// Kernel version of each slot, where the image leaves a choice.
    kernels: Values<String>,
    /// Name of the machine that the slot is for.
    pub hardware: String,
    /// Inventory of what that machine needs.
    pub inventory: Inventory,
    /// Source of the initramfs.
    pub initramfs: Source,
    /// Decisions on findings of the rules.
    pub policy: Policy,
    /// Root filesystem of each slot; under `None`, that of the slots that are not named.
    filesystems: Values<Filesystem>,
    /// Slots whose filesystem was named on the command line.
    named: Vec<Slot>,
    /// The user's options for mkfs.
    pub mkfs_options: MkfsOptions,
    /// Names of the consoles; the last one is init's.
    pub consoles: Vec<String>,
    /// The user's words for the kernel command line.
    pub kargs: String,
    /// Platform of the images to choose from an index.
    pub platform: Platform,
    /// Settings for access to registries.
    pub access: Access,
    /// Request to add or omit the agent.
    pub agent: Agent,
}

/// An existing slot of the same machine, after which another one is modelled.
pub struct Like {
    /// Record of the slot.
    pub record: Record,
    /// True if this system runs from the disk of the slot.
    pub runs: bool,
}

impl Like {
    /// Returns the machine that the slot was written for. The file of its inventory may be gone: if it is
    /// this machine, its inventory is taken again.
    fn hardware(&self) -> Result<Choice> {
        match self.record.hardware.as_str() {
            "qemu" => Ok(Choice::Qemu),
            "generic" => Ok(Choice::Generic),
            _ if self.runs => Ok(Choice::This),
            other => Err(usage(
                format!("the slot was written for '{}', whose inventory is not available", other.escape_debug()),
                "name the machine that it is to boot on: --hardware FILE",
            )),
        }
    }
}

impl SlotWish {
    /// Joins the flags with the config file; a flag wins. Options that neither gives are those of `like`, a
    /// slot of the same machine. `disk` is the target, if it is a device of this machine.
    pub fn of(
        (args, write): (&ImageArgs, &WriteArgs),
        config: &Config,
        like: Option<&Like>,
        disk: Option<&Path>,
    ) -> Result<SlotWish> {
        let choice = args.hardware.clone().or_else(|| config.hardware.clone());
        let choice = choice.map_or_else(|| like.map_or(Ok(Choice::Generic), Like::hardware), Ok)?;
        let inventory = choice.inventory(disk)?;
        let like = like.map(|like| &like.record);
        let mut filesystems = filesystems(args, config)?;
        let named = args.filesystem.iter().filter_map(|text| text.split_once('=')).map(|(slot, _)| slot.parse());
        filesystems.entry(None).or_insert(like.map(|record| record.filesystem).unwrap_or_default());
        let mkfs_options = write.mkfs_options.as_ref().or(config.mkfs_options.as_ref());
        let platform = args.arch.as_ref().or(config.arch.as_ref()).map(|arch| arch.parse()).transpose()?;
        let (consoles, kargs) = words(args, config, like, &inventory);
        if let Some(any) = Slot::at(0) {
            Cmdline::new(any, (PartUuid::NONE, Filesystem::default()), &consoles, &kargs)?; // refuses invalid words
        }
        let agent = if write.no_agent { Agent::LeaveOut } else { Agent::Add };
        agent.refuse_if_dynamic()?;
        Ok(SlotWish {
            kernels: by_slot::joined(
                &args.kernel,
                config.kernel.as_ref(),
                (|text| Ok(text.to_owned()), |version| Ok(version.clone())),
            )?,
            hardware: called(&choice, &inventory),
            inventory,
            initramfs: args.initramfs.or(config.initramfs).unwrap_or_default(),
            policy: Policy::new(
                &listed(&args.fix, config.fix.as_ref()).unwrap_or_default(),
                &listed(&args.allow, config.allow.as_ref()).unwrap_or_default(),
            )?,
            filesystems,
            named: named.collect::<Result<_>>()?,
            mkfs_options: mkfs_options.map(|words| words.parse()).transpose()?.unwrap_or_default(),
            consoles,
            kargs,
            platform: platform.unwrap_or_else(Platform::of_this_machine),
            access: Access {
                plain_http: listed(&args.plain_http, config.plain_http.as_ref()).unwrap_or_default(),
                certificates: listed(&args.registry_ca, config.registry_ca.as_ref()).unwrap_or_default(),
            },
            agent,
        })
    }

    /// Returns the root filesystem that was chosen for a slot.
    pub fn filesystem(&self, slot: Slot) -> Filesystem {
        let chosen = by_slot::of(&self.filesystems, slot);
        chosen.copied().unwrap_or_default()
    }

    /// Refuses to begin if one of `slots`, which are to be written, cannot be made as requested.
    pub fn refuse_unable(&self, slots: &[Slot]) -> Result<()> {
        if let Some(slot) = self.named.iter().find(|slot| !slots.contains(slot)) {
            let found = format!("--filesystem names slot {slot}, but nothing is written into that one");
            return Err(usage(found, "omit it, or name the slot that gets an image"));
        }
        let Some((first, rest)) = slots.split_first() else { return Ok(()) };
        let own = self.filesystem(*first);
        if let Some(other) = rest.iter().find(|slot| self.filesystem(**slot) != own && !self.mkfs_options.is_empty()) {
            let found = format!(
                "--mkfs-options are for one program, but slot {first} gets {own}, and slot {other} gets {}",
                self.filesystem(*other)
            );
            return Err(usage(found, "omit them; or flash the other slot once the disk is there"));
        }
        slots.iter().try_for_each(|slot| {
            fill::refuse_unable(self.filesystem(*slot), &self.mkfs_options).with_context(|| format!("slot {slot}"))
        })
    }

    /// Returns the kernel version that was chosen for a slot.
    pub fn kernel(&self, slot: Slot) -> Option<&str> {
        by_slot::of(&self.kernels, slot).map(String::as_str)
    }
}

/// Returns the names of the consoles, and the user's words. If the consoles are those of `like`, they are
/// among the words.
fn words(args: &ImageArgs, config: &Config, like: Option<&Record>, inventory: &Inventory) -> (Vec<String>, String) {
    let consoles = listed(&args.console, config.console.as_ref());
    let kargs = args.kargs.clone().or_else(|| config.kargs.clone());
    let Some(like) = like else {
        return (consoles.unwrap_or_else(|| inventory.consoles.clone()), kargs.unwrap_or_default());
    };
    let kargs = kargs.unwrap_or_else(|| like.own_words());
    match consoles {
        Some(consoles) => (consoles, kargs),
        None => (Vec::new(), format!("{} {kargs}", like.entry.cmdline.console_words())),
    }
}

/// Returns the name of the machine for a record: that of a profile, or the one that the machine gives itself.
fn called(choice: &Choice, inventory: &Inventory) -> String {
    match choice {
        Choice::Qemu | Choice::Generic => choice.name(),
        Choice::This | Choice::File(_) => inventory.machine.clone(),
    }
}

/// Returns the flag's values, or the config's if the flag was not given.
pub fn listed<T: Clone>(flag: &[T], config: Option<&Vec<T>>) -> Option<Vec<T>> {
    if flag.is_empty() { config.cloned() } else { Some(flag.to_vec()) }
}

/// Returns the root filesystem of each slot, as far as flags and config name it.
fn filesystems(args: &ImageArgs, config: &Config) -> Result<Values<Filesystem>> {
    by_slot::joined(&args.filesystem, config.filesystem.as_ref(), (str::parse, |of| Ok(*of)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Verb};
    use crate::filesystem::kind::Filesystem::{Btrfs, Ext4, Xfs};
    use crate::request::config::BySlot;
    use clap::Parser;

    /// Returns the filesystems that slots a and b get; `None` where none is given.
    fn chosen(flags: &[&str], config: Option<BySlot<Filesystem>>) -> [Option<Filesystem>; 2] {
        let Verb::Create(args) = Cli::parse_from([&["flipslot", "create", "x.raw"], flags].concat()).verb else {
            panic!("it is create");
        };
        let config = Config { filesystem: config, ..Config::default() };
        let chosen = filesystems(&args.image, &config).unwrap();
        [0, 1].map(|slot| by_slot::of(&chosen, Slot::at(slot).unwrap()).copied())
    }

    #[test]
    fn a_word_for_one_slot_wins_and_a_flag_wins_over_the_config() {
        let each = |slot: &str, filesystem| Some(BySlot::Each([(slot.to_owned(), filesystem)].into()));
        assert_eq!(chosen(&[], None), [None, None]);
        assert_eq!(chosen(&["--filesystem=xfs"], None), [Some(Xfs), Some(Xfs)]);
        assert_eq!(chosen(&["--filesystem=b=xfs"], None), [None, Some(Xfs)]);
        assert_eq!(chosen(&["--filesystem=b=xfs", "--filesystem=btrfs"], None), [Some(Btrfs), Some(Xfs)]);
        assert_eq!(chosen(&[], Some(BySlot::All(Xfs))), [Some(Xfs), Some(Xfs)]);
        assert_eq!(chosen(&[], each("a", Btrfs)), [Some(Btrfs), None]);
        assert_eq!(chosen(&["--filesystem=a=ext4"], Some(BySlot::All(Xfs))), [Some(Ext4), Some(Xfs)]);
        assert_eq!(chosen(&["--filesystem=ext4"], each("b", Btrfs)), [Some(Ext4), Some(Ext4)]);
        assert_eq!(chosen(&["--filesystem=a=ext4"], each("b", Btrfs)), [Some(Ext4), Some(Btrfs)]);
    }
}
