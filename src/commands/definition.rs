//! What `create` shall make: config file and flags, joined and checked before anything is read
//! or written.

use crate::boot::Hardware;
use crate::boot::cmdline::Cmdline;
use crate::cli::CreateArgs;
use crate::config::Config;
use crate::disk::layout::{Data, Wish};
use crate::disk::target::{Existing, size_of};
use crate::error::{Result, usage};
use crate::oci::{Access, Platform, Reference};
use crate::slot::Slot;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A disk to make.
pub struct Definition {
    /// Size, slots and data partition.
    pub wish: Wish,
    /// What goes into which slot.
    pub images: BTreeMap<Slot, Reference>,
    /// What each slot's kernel is, where the image leaves a choice.
    kernels: BTreeMap<Option<Slot>, String>,
    /// The machine it is for.
    pub hardware: Hardware,
    /// Consoles by name, the last one is init's.
    pub consoles: Vec<String>,
    /// Words for the kernel command line.
    pub kargs: String,
    /// Which images to choose from an index.
    pub platform: Platform,
    /// How to reach registries.
    pub access: Access,
    /// Whether what is there may go.
    pub existing: Existing,
}

impl Definition {
    /// Joins the flags with the config file that they name; a flag wins.
    pub fn of(args: &CreateArgs) -> Result<Definition> {
        let config = args.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
        let images = images(args, &config)?;
        let kernels = kernels(args, config.kernel)?;
        let last = images.keys().next_back().map_or(0, |slot| slot.index() + 1);
        let size = args.size.as_ref().or(config.size.as_ref()).map(|size| size.parse()).transpose()?;
        let slot_size = args.slot_size.as_ref().or(config.slot_size.as_ref()).map(|size| size.parse()).transpose()?;
        let hardware = args.hardware.or(config.hardware).unwrap_or_default();
        let platform = args.arch.as_ref().or(config.arch.as_ref()).map(|arch| arch.parse()).transpose()?;
        let consoles = listed(&args.console, config.console)
            .unwrap_or_else(|| hardware.consoles().iter().map(ToString::to_string).collect());
        let kargs = args.kargs.clone().or(config.kargs).unwrap_or_default();
        for slot in images.keys() {
            Cmdline::new(*slot, Uuid::nil(), &consoles, &kargs)?; // odd words are refused here
        }
        Ok(Definition {
            wish: Wish {
                size: size_of(&args.disk, size)?,
                slots: args.slots.or(config.slots).unwrap_or_else(|| last.max(2)),
                slot_size,
                data: if args.data || config.data == Some(true) { Data::Rest } else { Data::None },
            },
            images,
            kernels,
            hardware,
            consoles,
            kargs,
            platform: platform.unwrap_or_else(Platform::of_this_machine),
            access: Access {
                plain_http: listed(&args.plain_http, config.plain_http).unwrap_or_default(),
                certificates: listed(&args.registry_ca, config.registry_ca).unwrap_or_default(),
            },
            existing: if args.yes { Existing::Replace } else { Existing::Keep },
        })
    }

    /// The kernel version that was chosen for a slot.
    pub fn kernel(&self, slot: Slot) -> Option<&str> {
        self.kernels.get(&Some(slot)).or_else(|| self.kernels.get(&None)).map(String::as_str)
    }
}

/// The flag's values, or the config's if the flag was not given.
fn listed<T: Clone>(flag: &[T], config: Option<Vec<T>>) -> Option<Vec<T>> {
    if flag.is_empty() { config } else { Some(flag.to_vec()) }
}

fn images(args: &CreateArgs, config: &Config) -> Result<BTreeMap<Slot, Reference>> {
    let mut images = BTreeMap::new();
    for (slot, reference) in &config.slot {
        images.insert(slot.parse()?, reference.parse()?);
    }
    let mut named = Vec::new();
    for text in &args.slot {
        let (slot, reference) = text
            .split_once('=')
            .ok_or_else(|| usage(format!("--slot '{text}' names no slot"), "write --slot a=docker://host/name:tag"))?;
        let slot: Slot = slot.parse()?;
        if named.contains(&slot) {
            return Err(usage(format!("--slot {slot} is given twice"), "give each slot one image"));
        }
        named.push(slot);
        images.insert(slot, reference.parse()?);
    }
    if images.is_empty() {
        return Err(usage("no slot gets an image", "write --slot a=docker://host/name:tag"));
    }
    Ok(images)
}

fn kernels(args: &CreateArgs, config: BTreeMap<String, String>) -> Result<BTreeMap<Option<Slot>, String>> {
    let mut kernels = BTreeMap::new();
    for (slot, version) in config {
        kernels.insert(Some(slot.parse()?), version);
    }
    // A flag for every slot overrides what the config says of each.
    if args.kernel.iter().any(|text| !text.contains('=')) {
        kernels.clear();
    }
    for text in &args.kernel {
        // A version holds no '='; what stands before one is a slot.
        let (slot, version) = match text.split_once('=') {
            Some((slot, version)) => (Some(slot.parse()?), version),
            None => (None, text.as_str()),
        };
        kernels.insert(slot, version.to_owned());
    }
    Ok(kernels)
}
