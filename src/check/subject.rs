//! What rules look at: a slot's files, the machine that it shall come up on, the disk it is on.

use crate::boot::cmdline::Cmdline;
use crate::boot::contents::Contents;
use crate::boot::drivers;
use crate::boot::firmware::{self, Firmware};
use crate::boot::initramfs::{self, Source};
use crate::boot::kernel::{self, Kernel};
use crate::boot::modules::Modules;
use crate::boot::release::Release;
use crate::boot::requirements;
use crate::check::surroundings::Surroundings;
use crate::error::Result;
use crate::filesystem::Tree;
use crate::filesystem::feature_table::Version;
use crate::filesystem::features::Features;
use crate::filesystem::kind::Filesystem;
use crate::filesystem::tree::{Last, What};
use crate::hardware::Inventory;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

/// The oldest GRUB that a disk may have been made with: that of Debian 12 and Ubuntu 22.04.
pub const OLDEST_GRUB: Version = (2, 6);

/// What a tree says of itself, and what no mend changes.
pub struct Insight {
    /// Its os-release.
    pub release: Release,
    /// Its kernels.
    pub kernels: Vec<Kernel>,
    /// The one that boots: the one that was asked for, or the only one.
    pub kernel: Option<Kernel>,
    /// Why none was chosen.
    pub no_kernel: Option<String>,
    /// What that one can drive.
    pub modules: Option<Modules>,
    /// What its modules may ask for, as far as that was read.
    firmware: RefCell<BTreeMap<String, Vec<String>>>,
}

impl Deref for Subject<'_> {
    type Target = Insight;

    fn deref(&self) -> &Insight {
        self.insight
    }
}

/// A slot, or an image that shall become one.
pub struct Subject<'a> {
    /// Its files.
    pub tree: &'a dyn Tree,
    /// What was read of them already.
    insight: &'a Insight,
    /// The machine.
    pub inventory: &'a Inventory,
    /// The words that it gets, without those of a trial.
    pub cmdline: Cmdline,
    /// The root filesystem's kind.
    pub filesystem: Filesystem,
    /// Its features, if it is there already.
    pub features: Option<Features>,
    /// The GRUB that shall read it.
    pub grub: Version,
    /// The disk that it is on; an image is on none.
    pub disk: Option<Surroundings>,
    /// What it boots with.
    pub initramfs: Initramfs,
    /// Whether the slot's own dracut makes that, or has made it.
    pub by_dracut: bool,
}

/// The initramfs of a subject.
#[derive(Debug, Clone, Default)]
pub enum Initramfs {
    /// The slot's own dracut makes one, of what the root filesystem has.
    #[default]
    ToBeMade,
    /// There is one.
    There {
        /// Its path in the slot.
        path: String,
        /// What is in it, or why that cannot be told.
        contents: std::result::Result<Contents, String>,
        /// Bytes of its file.
        size: u64,
    },
}

impl Initramfs {
    /// Reads the one at `path`. What is wrong with it is for the rules to say.
    pub fn read(tree: &dyn Tree, path: String) -> Result<Initramfs> {
        let size = match tree.look(&path, Last::Follow)?.map(|found| found.what) {
            Some(What::File { size }) => size,
            _ => 0,
        };
        let contents = match tree.open(&path) {
            Ok(Some(file)) => Contents::read(file).map_err(|error| format!("{error:#}")),
            Ok(None) => Err("it is not there".to_owned()),
            Err(error) => Err(format!("{error:#}")),
        };
        Ok(Initramfs::There { path, contents, size })
    }
}

impl Insight {
    /// Reads it. `wanted` is the version of the kernel that was asked for.
    pub fn of(tree: &dyn Tree, wanted: Option<&str>) -> Result<Insight> {
        let kernels = kernel::find(tree)?;
        let (kernel, no_kernel) = match kernel::choose(&kernels, wanted) {
            Ok(kernel) => (Some(kernel), None),
            Err(why) => (None, Some(why.to_string())),
        };
        let modules = kernel.as_ref().map(|kernel| Modules::read(tree, kernel)).transpose()?.flatten();
        // A title decides nothing: one that cannot be read is none.
        let release = Release::of(tree).unwrap_or_default();
        Ok(Insight { release, kernels, kernel, no_kernel, modules, firmware: RefCell::default() })
    }

    /// The initramfs that the image brings for its kernel; one is to be made where it brings none, or
    /// where that is wanted.
    pub fn initramfs(&self, tree: &dyn Tree, wanted: Source) -> Result<Initramfs> {
        let own = self.kernel.as_ref().and_then(|kernel| initramfs::of_image(tree, kernel));
        own.filter(|_| wanted != Source::Dracut).map_or(Ok(Initramfs::ToBeMade), |path| Initramfs::read(tree, path))
    }

    /// The firmware that a module may ask for, by name; none where that cannot be told.
    fn firmware(&self, tree: &dyn Tree, module: &str) -> Vec<String> {
        let (Some(kernel), Some(modules)) = (&self.kernel, &self.modules) else { return Vec::new() };
        let read = || firmware::of_module(tree, kernel, modules, module).unwrap_or_default();
        // To unpack a module takes longer than all else that the rules do.
        self.firmware.borrow_mut().entry(module.to_owned()).or_insert_with(read).clone()
    }
}

impl<'a> Subject<'a> {
    /// A tree that shall boot with `cmdline` on a machine, and what is known of it.
    pub fn new(tree: &'a dyn Tree, insight: &'a Insight, inventory: &'a Inventory, cmdline: Cmdline) -> Subject<'a> {
        Subject {
            tree,
            insight,
            inventory,
            cmdline,
            filesystem: Filesystem::default(),
            features: None,
            grub: OLDEST_GRUB,
            disk: None,
            initramfs: Initramfs::ToBeMade,
            by_dracut: false,
        }
    }

    /// Whether the slot's own dracut can make another initramfs than this one.
    pub fn may_remake(&self) -> bool {
        !self.by_dracut && requirements::has_dracut(self.tree)
    }

    /// The words of the command line.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.cmdline.words()
    }

    /// The value of the last word `key=`, which wins.
    pub fn word(&self, key: &str) -> Option<&str> {
        self.words().filter_map(|word| word.strip_prefix(key)?.strip_prefix('=')).last()
    }

    /// The firmware that a module may ask for; none where that cannot be told.
    pub fn firmware(&self, module: &str) -> Vec<Firmware> {
        let contents = match &self.initramfs {
            Initramfs::There { contents: Ok(contents), .. } => Some(contents),
            _ => None,
        };
        let names = self.insight.firmware(self.tree, module);
        names.into_iter().map(|name| firmware::find(self.tree, contents, name)).collect()
    }

    /// The modules in the initramfs, or those that dracut will be told to put there; `None` if it cannot
    /// be read, or if there are no modules to choose from.
    pub fn initramfs_modules(&self) -> Option<BTreeSet<String>> {
        match (&self.initramfs, &self.kernel, &self.modules) {
            (Initramfs::There { contents: Ok(contents), .. }, Some(kernel), _) => {
                Some(contents.modules(&kernel.version))
            }
            (Initramfs::ToBeMade, _, Some(modules)) => {
                Some(drivers::of_initramfs(self.inventory, modules, &self.filesystem.modules()))
            }
            _ => None,
        }
    }
}
