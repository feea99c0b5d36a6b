//! What rules look at: a slot's files, the machine that it shall come up on, the disk it is on.

use crate::boot::cmdline::Cmdline;
use crate::boot::contents::Contents;
use crate::boot::drivers;
use crate::boot::kernel::{self, Kernel};
use crate::boot::modules::Modules;
use crate::boot::release::Release;
use crate::check::surroundings::Surroundings;
use crate::error::Result;
use crate::filesystem::Tree;
use crate::filesystem::feature_table::Version;
use crate::filesystem::features::Features;
use crate::filesystem::kind::Filesystem;
use crate::filesystem::tree::{Last, What};
use crate::hardware::Inventory;
use std::collections::BTreeSet;

/// The oldest GRUB that a disk may have been made with: that of Debian 12 and Ubuntu 22.04.
pub const OLDEST_GRUB: Version = (2, 6);

/// A slot, or an image that shall become one.
pub struct Subject<'a> {
    /// Its files.
    pub tree: &'a dyn Tree,
    /// The machine.
    pub inventory: &'a Inventory,
    /// What it says of itself.
    pub release: Release,
    /// Its kernels.
    pub kernels: Vec<Kernel>,
    /// The one that boots: the one that was asked for, or the only one.
    pub kernel: Option<Kernel>,
    /// What that one can drive.
    pub modules: Option<Modules>,
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

impl<'a> Subject<'a> {
    /// Looks at a tree that shall boot with `cmdline` on a machine. `wanted` is the version of the
    /// kernel that was asked for.
    pub fn new(
        tree: &'a dyn Tree,
        inventory: &'a Inventory,
        cmdline: Cmdline,
        wanted: Option<&str>,
    ) -> Result<Subject<'a>> {
        let kernels = kernel::find(tree)?;
        let kernel = kernel::choose(&kernels, wanted).ok();
        let modules = kernel.as_ref().map(|kernel| Modules::read(tree, kernel)).transpose()?.flatten();
        Ok(Subject {
            tree,
            inventory,
            release: Release::of(tree)?,
            kernels,
            kernel,
            modules,
            cmdline,
            filesystem: Filesystem::default(),
            features: None,
            grub: OLDEST_GRUB,
            disk: None,
            initramfs: Initramfs::ToBeMade,
        })
    }

    /// The words of the command line.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.cmdline.words()
    }

    /// The value of the last word `key=`, which wins.
    pub fn word(&self, key: &str) -> Option<&str> {
        self.words().filter_map(|word| word.strip_prefix(key)?.strip_prefix('=')).last()
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
