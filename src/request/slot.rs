//! The user's request for a slot, whichever command fills it: flags and config file, joined and checked
//! before anything is read or written.

use crate::boot::cmdline::Cmdline;
use crate::boot::initramfs_source::Source;
use crate::boot::record::Record;
use crate::boot::root_on::RootOn;
use crate::boot::run_source;
use crate::check::policy::Policy;
use crate::cli::{FetchArgs, ImageArgs, WriteArgs};
use crate::error::{Result, usage};
use crate::filesystem::kind::Filesystem;
use crate::filesystem::mkfs::MkfsOptions;
use crate::hardware::{Choice, Inventory};
use crate::oci::signature::Rules;
use crate::oci::{Access, Caching, Platform};
use crate::request::by_slot;
use crate::request::by_slot::Values;
use crate::request::config::Config;
use crate::request::older::Older;
use crate::request::root::{self, RootFileRequest};
use crate::words::slot::Slot;
use std::collections::btree_map::Entry;
use std::path::Path;

/// Choice of whether to add the agent to a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agent {
    /// Add the program, the units that watch over a trial, and the shutdown hook.
    Add,
    /// Leave the image as it is (`--no-agent`): no deadline, no health check.
    LeaveOut,
}

/// A request for how slots are made and boot, and for how their images are found.
pub struct SlotRequest {
    /// Kernel version of each slot, where the image leaves a choice.
    kernels: Values<String>,
    /// Name of the machine that the slot is for.
    pub hardware: String,
    /// Inventory of what that machine needs.
    pub inventory: Inventory,
    /// The root as one file; `None` for files.
    pub root: Option<RootFileRequest>,
    /// Source of the initramfs.
    pub initramfs: Source,
    /// Treatment of a signed image that is older than what the disk holds.
    pub older: Older,
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
pub struct ModelSlot {
    /// Record of the slot.
    pub record: Record,
    /// True if this system runs from the disk of the slot.
    pub runs: bool,
}

impl ModelSlot {
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

/// The flags of a command that say how a slot is made and boots.
#[derive(Clone, Copy)]
pub struct SlotFlags<'f> {
    /// Flags about the image and how it boots.
    pub image: &'f ImageArgs,
    /// Flags about how it is written.
    pub write: &'f WriteArgs,
}

impl SlotRequest {
    /// Joins the flags with the config file; a flag wins. Options that neither gives are those of `model`,
    /// a slot of the same machine. `disk` is the target, if it is a device of this machine.
    pub fn of(
        flags: SlotFlags,
        config: &Config,
        model: Option<&ModelSlot>,
        disk: Option<&Path>,
    ) -> Result<SlotRequest> {
        let SlotFlags { image: args, write } = flags;
        let choice = args.hardware.clone().or_else(|| config.hardware.clone());
        let choice = choice.map_or_else(|| model.map_or(Ok(Choice::Generic), ModelSlot::hardware), Ok)?;
        let inventory = choice.inventory(disk)?;
        let model = model.map(|model| &model.record);
        let (consoles, kargs) = words(args, config, model, &inventory);
        let mut filesystems = filesystems(args, config)?;
        let named = args.filesystem.iter().filter_map(|text| text.split_once('=')).map(|(slot, _)| slot.parse());
        if let Entry::Vacant(unnamed) = filesystems.entry(None) {
            unnamed.insert(model.map(Record::filesystem).transpose()?.unwrap_or_default());
        }
        let mkfs_options = write.mkfs_options.as_ref().or(config.mkfs_options.as_ref());
        let platform = args.fetch.arch.as_ref().or(config.arch.as_ref()).map(|arch| arch.parse()).transpose()?;
        Cmdline::new(None, &RootOn::Ram, &consoles, &kargs)?; // refuses invalid words
        let runs = kargs.split_whitespace().filter_map(|word| word.strip_prefix(run_source::WORD));
        runs.filter(|value| !value.is_empty()).try_for_each(|value| run_source::Source::read(value).map(drop))?;
        let (older, allow) = Older::taken_from(&listed(&args.allow, config.allow.as_ref()).unwrap_or_default());
        let agent = if write.no_agent { Agent::LeaveOut } else { Agent::Add };
        let root = root::of(write, config, model)?;
        Ok(SlotRequest {
            kernels: by_slot::joined(
                &args.kernel,
                config.kernel.as_ref(),
                |text| Ok(text.to_owned()),
                |version| Ok(version.clone()),
            )?,
            hardware: called(&choice, &inventory),
            inventory,
            initramfs: root::initramfs(root, args.initramfs.or(config.initramfs).unwrap_or_default())?,
            root,
            older,
            policy: Policy::new(&listed(&args.fix, config.fix.as_ref()).unwrap_or_default(), &allow)?,
            filesystems,
            named: named.collect::<Result<_>>()?,
            mkfs_options: mkfs_options.map(|words| words.parse()).transpose()?.unwrap_or_default(),
            consoles,
            kargs,
            platform: platform.unwrap_or_else(Platform::of_this_machine),
            access: access(&args.fetch, config),
            agent,
        })
    }

    /// Returns the request for a root that boots from the network: by flipslot's own initramfs, or the stock one of the image's
    /// dracut, which knows nothing of what flipslot adds.
    pub fn for_netboot(self) -> Result<SlotRequest> {
        match self.initramfs {
            Source::Auto | Source::Flipslot => Ok(SlotRequest { initramfs: Source::Flipslot, ..self }),
            Source::Dracut if !self.policy.fixes_nothing() => Err(usage(
                "the initramfs of dracut lays nothing over the root, so that nothing can be fixed in it",
                "omit --fix, or --initramfs dracut",
            )),
            Source::Dracut => Ok(SlotRequest { agent: Agent::LeaveOut, ..self }),
            Source::Image | Source::TwoStage => Err(usage(
                "netboot makes an initramfs for the network: flipslot's own, or the stock one of the image's dracut",
                "omit --initramfs, or write --initramfs dracut",
            )),
        }
    }

    /// Returns the root filesystem that was chosen for a slot.
    pub fn filesystem(&self, slot: Slot) -> Filesystem {
        let chosen = by_slot::of(&self.filesystems, Some(slot));
        chosen.copied().unwrap_or_default()
    }

    /// Refuses options that do not fit `slots`, which are to be written.
    pub fn refuse_unfit(&self, slots: &[Slot]) -> Result<()> {
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
        Ok(())
    }

    /// Returns the kernel version that was chosen for a slot, or for a form without slots.
    pub fn kernel(&self, slot: Option<Slot>) -> Option<&str> {
        by_slot::of(&self.kernels, slot).map(String::as_str)
    }
}

/// Returns the names of the consoles, and the user's words. If the consoles are those of `model`, they are
/// among the words.
fn words(args: &ImageArgs, config: &Config, model: Option<&Record>, inventory: &Inventory) -> (Vec<String>, String) {
    let consoles = listed(&args.console, config.console.as_ref());
    let kargs = args.kargs.clone().or_else(|| config.kargs.clone());
    let Some(model) = model else {
        return (consoles.unwrap_or_else(|| inventory.consoles.clone()), kargs.unwrap_or_default());
    };
    let kargs = kargs.unwrap_or_else(|| model.own_words());
    match consoles {
        Some(consoles) => (consoles, kargs),
        None => (Vec::new(), format!("{} {kargs}", model.entry().cmdline.console_words())),
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

/// Joins the options for reaching registries, and for trusting what they hold.
pub fn access(args: &FetchArgs, config: &Config) -> Access {
    Access {
        plain_http: listed(&args.plain_http, config.plain_http.as_ref()).unwrap_or_default(),
        realms: listed(&args.auth_realm, config.auth_realm.as_ref()).unwrap_or_default(),
        certificates: listed(&args.registry_ca, config.registry_ca.as_ref()).unwrap_or_default(),
        authfile: args.authfile.as_ref().or(config.authfile.as_ref()).cloned(),
        cache: match args.cache.as_ref().or(config.cache.as_ref()).filter(|_| !args.no_cache) {
            Some(folder) => Caching::Named(folder.clone()),
            None => Caching::Off,
        },
        rules: Rules {
            keys: listed(&args.verify_key, config.verify_key.as_ref()).unwrap_or_default(),
            policy: args.policy.as_ref().or(config.policy.as_ref()).cloned(),
        },
    }
}

/// Returns the root filesystem of each slot, as far as flags and config name it.
fn filesystems(args: &ImageArgs, config: &Config) -> Result<Values<Filesystem>> {
    by_slot::joined(&args.filesystem, config.filesystem.as_ref(), str::parse, |of| Ok(*of))
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
        [0, 1].map(|slot| by_slot::of(&chosen, Slot::at(slot)).copied())
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
