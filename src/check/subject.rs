//! The subject of the rules: a slot's files, the machine that it is for, the disk that it is on.

use crate::boot::cmdline::Cmdline;
use crate::boot::initramfs_source::{MadeBy, Source};
use crate::boot::root_on::RootOn;
use crate::check::partition_names::PartitionNames;
use crate::error::Result;
use crate::filesystem::feature_table::Version;
use crate::filesystem::features::Features;
use crate::hardware::Inventory;
use crate::initramfs::find_own;
use crate::initramfs::firmware;
use crate::initramfs::firmware::Firmware;
use crate::initramfs::read::contents::Contents;
use crate::kernel::find::Kernel;
use crate::kernel::modules::Modules;
use crate::kernel::release::Release;
use crate::kernel::{drivers, find as kernel};
use crate::root::tree::{Last, Tree, What};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

/// The oldest GRUB that a disk may have been made with: that of Debian 12 and Ubuntu 22.04.
pub const OLDEST_GRUB: Version = (2, 6);

/// Facts read from the files of a slot or image that no fix changes.
pub struct ImageFacts {
    /// The os-release; empty if it cannot be read.
    pub release: Release,
    /// All kernels that were found.
    pub kernels: Vec<Kernel>,
    /// Kernel that boots: the requested one, or the only one.
    pub kernel: Option<Kernel>,
    /// Reason why no kernel was chosen.
    pub no_kernel: Option<String>,
    /// Modules of the chosen kernel; none if they are not there.
    pub modules: Option<Modules>,
    /// Cache of the firmware that modules may request, by module.
    firmware: RefCell<BTreeMap<String, Vec<String>>>,
}

impl Deref for Subject<'_> {
    type Target = ImageFacts;

    fn deref(&self) -> &ImageFacts {
        self.facts
    }
}

/// A slot, or an image that is to become one. It is made by naming all of its parts.
pub struct Subject<'a> {
    /// Files of the slot or image.
    pub tree: &'a dyn Tree,
    /// Facts that were read from the files.
    pub facts: &'a ImageFacts,
    /// Machine on which the slot is to come up.
    pub inventory: &'a Inventory,
    /// Command line of the kernel, without the words of a trial.
    pub cmdline: Cmdline,
    /// Place of the root.
    pub on: RootOn,
    /// Features of the root filesystem, if it exists already.
    pub features: Option<Features>,
    /// Version of the GRUB that is to read the filesystem.
    pub grub: Version,
    /// Names on the disk of the slot; an image is not on a disk.
    pub names: Option<PartitionNames>,
    /// Memory in bytes that the root takes, as far as that is known; `None` for one on a disk.
    pub in_memory: Option<u64>,
    /// Initramfs that the slot boots with.
    pub initramfs: &'a Initramfs,
}

/// The part of a subject that fixes of files depend on, beside the files.
#[derive(Debug, Clone)]
pub struct FixContext {
    /// Command line of the kernel.
    pub cmdline: Cmdline,
    /// Names on the disk of the slot; an image is not on a disk.
    pub names: Option<PartitionNames>,
}

/// The initramfs of a subject.
#[derive(Debug, Clone, Default)]
pub enum Initramfs {
    /// Still to be made, from the files of the root filesystem.
    #[default]
    ToBeMade,
    /// Already a file of the slot.
    There {
        /// Path of the file in the slot.
        path: String,
        /// Contents, or the reason why they cannot be read.
        contents: std::result::Result<Contents, String>,
        /// Size of the file in bytes.
        size: u64,
        /// Origin of the file.
        by: MadeBy,
    },
}

impl Initramfs {
    /// Reads the initramfs at `path`, which `by` made. A damaged one is not an error here: the rules report it.
    pub fn read(tree: &dyn Tree, path: String, by: MadeBy) -> Result<Initramfs> {
        let size = match tree.look(&path, Last::Follow)?.map(|found| found.what) {
            Some(What::File { size }) => size,
            _ => 0,
        };
        let contents = match tree.open(&path) {
            Ok(Some(file)) => Contents::read(file).map_err(|error| format!("{error:#}")),
            Ok(None) => Err("it is not there".to_owned()),
            Err(error) => Err(format!("{error:#}")),
        };
        Ok(Initramfs::There { path, contents, size, by })
    }
}

impl ImageFacts {
    /// Reads the facts from a tree. `requested` is the version of the requested kernel.
    pub fn of(tree: &dyn Tree, requested: Option<&str>) -> Result<ImageFacts> {
        let kernels = kernel::find(tree)?;
        let (kernel, no_kernel) = match kernel::choose(&kernels, requested) {
            Ok(kernel) => (Some(kernel), None),
            Err(why) => (None, Some(why.to_string())),
        };
        let modules = kernel.as_ref().map(|kernel| Modules::read(tree, kernel)).transpose()?.flatten();
        // The title decides nothing: without a readable os-release there is none.
        let release = Release::of(tree).unwrap_or_default();
        Ok(ImageFacts { release, kernels, kernel, no_kernel, modules, firmware: RefCell::default() })
    }

    /// Reads the initramfs that the image has for its kernel. Returns [`Initramfs::ToBeMade`] if it has none,
    /// or if the requested `source` makes a new one.
    pub fn initramfs(&self, tree: &dyn Tree, source: Source) -> Result<Initramfs> {
        let own = self.kernel.as_ref().and_then(|kernel| find_own::of_image(tree, kernel));
        own.filter(|_| matches!(source, Source::Auto | Source::Image))
            .map_or(Ok(Initramfs::ToBeMade), |path| Initramfs::read(tree, path, MadeBy::Image))
    }

    /// Returns the names of the firmware that a module may request; none if they cannot be read.
    fn firmware(&self, tree: &dyn Tree, module: &str) -> Vec<String> {
        let (Some(kernel), Some(modules)) = (&self.kernel, &self.modules) else { return Vec::new() };
        let read = || firmware::of_module(tree, kernel, modules, module).unwrap_or_default();
        // Unpacking a module takes longer than everything else that the rules do.
        self.firmware.borrow_mut().entry(module.to_owned()).or_insert_with(read).clone()
    }
}

impl Subject<'_> {
    /// Returns what fixes of files depend on.
    pub fn fix_context(&self) -> FixContext {
        FixContext { cmdline: self.cmdline.clone(), names: self.names.clone() }
    }

    /// Returns the words of the command line.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.cmdline.words()
    }

    /// Returns the value of the last word `key=`, which wins.
    pub fn word(&self, key: &str) -> Option<&str> {
        self.words().filter_map(|word| word.strip_prefix(key)?.strip_prefix('=')).last()
    }

    /// Returns the firmware that a module may request, and whether it is there; none if that cannot be read.
    pub fn firmware(&self, module: &str) -> Vec<Firmware> {
        let contents = match self.initramfs {
            Initramfs::There { contents: Ok(contents), .. } => Some(contents),
            _ => None,
        };
        let names = self.facts.firmware(self.tree, module);
        names.into_iter().map(|name| firmware::find(self.tree, contents, name)).collect()
    }

    /// Returns the modules in the initramfs, or those that will be put there; `None` if the
    /// initramfs cannot be read, or if there are no modules to choose from.
    pub fn initramfs_modules(&self) -> Option<BTreeSet<String>> {
        match (self.initramfs, &self.kernel, &self.modules) {
            (Initramfs::There { contents: Ok(contents), .. }, Some(kernel), _) => {
                Some(contents.modules(&kernel.version))
            }
            (Initramfs::ToBeMade, _, Some(modules)) => {
                Some(drivers::of_initramfs(self.inventory, modules, &self.on.modules()))
            }
            _ => None,
        }
    }
}
