//! Reads the lists that depmod(8) wrote beside a kernel's modules, to find the modules for a device.

use crate::error::{Result, failed};
use crate::kernel::find as kernel;
use crate::kernel::find::Kernel;
use crate::root::tree::Tree;
use crate::words::pattern::{WILDCARDS, is_match};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Maximum size in bytes of a list, more than any has: Debian 13's longest has 1.4 MB. As much is kept of an
/// image (root/memory/retention.rs).
const LONGEST: u64 = 16 << 20;
/// Maximum number of words in a list, which limits time and memory; Debian 13's longest list has 100 000.
const WORDS_MAX: usize = 1_000_000;
/// Maximum length in bytes of a pattern that a device can match: its modalias is part of a kernel event, which
/// is not longer (`UEVENT_BUFFER_SIZE`, linux/kobject.h).
const PATTERN_MAX: usize = 2048;
/// Maximum number of modules that are returned for one device, more than match any real one.
const CANDIDATES_MAX: usize = 64;
/// Maximum number of soft dependencies in one line of modules.softdep, more than any module has.
const WISHES_MAX: usize = 32;

/// Modules of one kernel. Names are written with `_`, as the kernel writes them.
#[derive(Debug, Default)]
pub struct Modules {
    loadable: BTreeMap<String, Loadable>,
    builtin: BTreeSet<String>,
    /// Aliases with wildcards: the pattern for devices, and the module.
    aliases: Vec<(String, String)>,
    /// Aliases without wildcards: other names of modules.
    names: BTreeMap<String, Vec<String>>,
    soft: BTreeMap<String, Vec<String>>,
    /// Cached answers of [`Modules::matching`]: the same devices are looked up many times in long lists.
    answers: RefCell<BTreeMap<String, Vec<String>>>,
}

/// A module that is a file.
#[derive(Debug)]
struct Loadable {
    /// Path below the folder of the kernel's modules.
    path: String,
    dependencies: Vec<String>,
}

/// Form in which a kernel has a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linkage {
    /// Part of the kernel.
    BuiltIn,
    /// A file, which has to be loaded.
    Loadable,
}

impl Modules {
    /// Reads the lists of a kernel; `None` if it has no modules.dep. Fails if a list is absurdly long.
    pub fn read(tree: &dyn Tree, kernel: &Kernel) -> Result<Option<Modules>> {
        let Some(folder) = kernel::modules(tree, kernel) else { return Ok(None) };
        let list = |name: &str| {
            let path = format!("{folder}/{name}");
            let text = tree.read(&path, LONGEST)?.unwrap_or_default();
            let words = text.split(|c: char| c.is_ascii_whitespace() || c == '\0').count();
            if words > WORDS_MAX {
                let found = format!("/{path} has more than {WORDS_MAX} words, more than any kernel's list has");
                return Err(failed(found, "run depmod in the image"));
            }
            Ok(text)
        };
        let mut modules = Modules::default();
        modules.add_dep(&list("modules.dep")?);
        modules.builtin = list("modules.builtin")?.lines().filter_map(name_of).collect();
        modules.add_aliases(&list("modules.alias")?);
        modules.add_modinfo(&list("modules.builtin.modinfo")?);
        modules.add_soft(&list("modules.softdep")?);
        Ok(Some(modules))
    }

    /// Adds the lines of modules.dep(5): a path, a colon, the paths of all modules that it needs.
    fn add_dep(&mut self, text: &str) {
        for line in text.lines() {
            let Some((path, needs)) = line.split_once(':') else { continue };
            let Some(name) = name_of(path) else { continue };
            let dependencies = needs.split_whitespace().filter_map(name_of).collect();
            self.loadable.insert(name, Loadable { path: path.to_owned(), dependencies });
        }
    }

    /// Adds the lines of modules.alias: `alias PATTERN MODULE` (modprobe.d(5)).
    fn add_aliases(&mut self, text: &str) {
        let parts = text.lines().filter_map(|line| line.strip_prefix("alias ")?.rsplit_once(' '));
        parts.for_each(|(pattern, module)| self.add_alias(pattern, module));
    }

    fn add_alias(&mut self, pattern: &str, module: &str) {
        let (pattern, module) = (with_underscores(pattern), with_underscores(module));
        if pattern.len() > PATTERN_MAX {
            return;
        }
        if pattern.contains(WILDCARDS) {
            self.aliases.push((pattern, module));
        } else {
            self.names.entry(pattern).or_default().push(module);
        }
    }

    /// Adds the aliases in modules.builtin.modinfo, which exists since Linux 5.2: `MODULE.KEY=VALUE`, each followed
    /// by a NUL.
    fn add_modinfo(&mut self, text: &str) {
        for line in text.split('\0') {
            if let Some((module, pattern)) = line.split_once(".alias=") {
                self.add_alias(pattern, module);
            }
        }
    }

    /// Adds the lines of modules.softdep: `softdep MODULE pre: A B post: C` (modprobe.d(5)).
    fn add_soft(&mut self, text: &str) {
        for line in text.lines().filter_map(|line| line.strip_prefix("softdep ")) {
            let mut words = line.split_whitespace();
            let Some(module) = words.next() else { continue };
            let others = words.filter(|word| !["pre:", "post:"].contains(word)).map(with_underscores).take(WISHES_MAX);
            self.soft.entry(with_underscores(module)).or_default().extend(others);
        }
    }

    /// Returns the form in which the kernel has a module; `None` if it does not have it.
    pub fn place(&self, name: &str) -> Option<Linkage> {
        let name = with_underscores(name);
        if self.builtin.contains(&name) {
            return Some(Linkage::BuiltIn);
        }
        self.loadable.contains_key(&name).then_some(Linkage::Loadable)
    }

    /// Returns the modules for a device with this modalias, or for any other alias; sorted, each once. Modules that
    /// are listed but that the kernel does not have are left out.
    pub fn matching(&self, modalias: &str) -> Vec<String> {
        let modalias = with_underscores(modalias);
        if let Some(known) = self.answers.borrow().get(&modalias) {
            return known.clone();
        }
        let matches = self.aliases.iter().filter(|(pattern, _)| is_match(pattern, &modalias));
        let named = self.names.get(&modalias).into_iter().flatten();
        let names: BTreeSet<&String> =
            matches.map(|(_, name)| name).chain(named).filter(|name| self.place(name).is_some()).collect();
        let answer: Vec<String> = names.into_iter().take(CANDIDATES_MAX).cloned().collect();
        self.answers.borrow_mut().insert(modalias, answer.clone());
        answer
    }

    /// Returns these modules with their dependencies, soft ones included. Built-in modules are left out.
    pub fn with_needs(&self, wanted: impl IntoIterator<Item = String>) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        let mut left: Vec<String> = wanted.into_iter().collect();
        while let Some(name) = left.pop() {
            if self.place(&name) == Some(Linkage::BuiltIn) || all.contains(&name) {
                continue;
            }
            match self.loadable.get(&name) {
                Some(module) => left.extend(module.dependencies.iter().cloned()),
                None => {
                    // A soft dependency may be another name, such as crypto-crc32c. It is only followed to
                    // modules, not to further names: otherwise an image could make this loop forever.
                    let named = self.names.get(&name).into_iter().flatten();
                    left.extend(named.filter(|found| self.loadable.contains_key(*found)).cloned());
                    continue;
                }
            }
            left.extend(self.soft.get(&name).into_iter().flatten().cloned());
            all.insert(name);
        }
        all
    }

    /// Returns the modules to load for a module, itself last: its dependencies, without soft ones and without
    /// built-in modules.
    pub fn chain<'m>(&'m self, name: &'m str) -> Vec<&'m str> {
        let needs = self.loadable.get(name).into_iter().flat_map(|module| &module.dependencies);
        needs.map(String::as_str).chain([name]).filter(|name| !self.builtin.contains(*name)).collect()
    }

    /// Returns the loadable modules that have one of `folders` in their path.
    pub fn below<'m>(&'m self, folders: &'m [&'m str]) -> impl Iterator<Item = &'m String> {
        let is_there = move |module: &Loadable| folders.iter().any(|folder| module.path.contains(folder));
        self.loadable.iter().filter(move |(_, module)| is_there(module)).map(|(name, _)| name)
    }

    /// Returns the modules that have an alias, the pattern of a device, with one of these starts.
    pub fn with_alias(&self, starts: &[&str]) -> BTreeSet<&str> {
        let fits = |alias: &str| starts.iter().any(|start| alias.starts_with(start));
        let patterns = self.aliases.iter().filter(|(pattern, _)| fits(pattern)).map(|(_, module)| module);
        let plain = self.names.iter().filter(|(alias, _)| fits(alias)).flat_map(|(_, modules)| modules);
        patterns.chain(plain).map(String::as_str).collect()
    }

    /// Returns the patterns of devices, such as `pci:v*d*sv*sd*bc01sc08i02*`, of each module that has some.
    pub fn patterns(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let patterns = self.aliases.iter().map(|(pattern, module)| (pattern, module));
        let plain = self.names.iter().flat_map(|(alias, modules)| modules.iter().map(move |module| (alias, module)));
        for (alias, module) in patterns.chain(plain).filter(|(alias, _)| alias.contains(':')) {
            all.entry(module).or_default().insert(alias);
        }
        all
    }

    /// Returns the modules to load before a module: those that it needs, and its soft dependencies but for those that
    /// need it themselves. Built-in modules are left out.
    pub fn before<'m>(&'m self, name: &'m str) -> BTreeSet<&'m str> {
        let mut all: BTreeSet<&str> = self.chain(name).into_iter().collect();
        let soft = self.soft.get(name).into_iter().flatten();
        let named = |soft: &'m String| self.names.get(soft).into_iter().flatten().chain([soft]);
        let is_free = |other: &&String| self.loadable.contains_key(*other) && !self.chain(other).contains(&name);
        all.extend(soft.flat_map(named).filter(is_free).map(String::as_str));
        all.remove(name);
        all
    }

    /// Returns the path of a loadable module below the folder of the kernel's modules.
    pub fn path(&self, name: &str) -> Option<&str> {
        self.loadable.get(name).map(|module| module.path.as_str())
    }
}

/// Returns the name of the module in a file: `nls_utf8` for `kernel/fs/nls/nls-utf8.ko.xz`; `None` if the file is
/// not named like a module.
pub fn name_of(path: &str) -> Option<String> {
    let (stem, compression) = path.trim().rsplit('/').next()?.rsplit_once(".ko")?;
    let known = matches!(compression, "" | ".gz" | ".xz" | ".zst") && !stem.is_empty();
    known.then(|| with_underscores(stem))
}

/// Replaces `-` with `_`, which kmod and the kernel treat as equal (kmod: `alias_normalize`), except in brackets,
/// where it denotes a range.
fn with_underscores(text: &str) -> String {
    let mut within = false;
    let normal = text.chars().map(|c| {
        within = (within || c == '[') && c != ']';
        if c == '-' && !within { '_' } else { c }
    });
    normal.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules() -> Modules {
        let mut modules = Modules::default();
        modules.add_dep(
            "kernel/drivers/virtio/virtio_ring.ko.xz:\n\
             kernel/drivers/block/virtio_blk.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz\n\
             kernel/drivers/scsi/sd_mod.ko: kernel/block/t10-pi.ko\n\
             kernel/block/t10-pi.ko:\n\
             kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko\n\
             kernel/fs/jbd2/jbd2.ko:\n\
             kernel/crypto/crc32c_generic.ko:\n",
        );
        modules.add_aliases(
            "# comment\n\
             alias virtio:d00000002v* virtio_blk\n\
             alias scsi:t-0x00* sd_mod\n\
             alias pci:v*d*sv*sd*bc01sc0[68]i* ahci\n\
             alias crypto-crc32c crc32c_generic\n",
        );
        modules.add_modinfo("nvme.alias=pci:v*d*sv*sd*bc01sc08i02*\0nvme.license=GPL\0");
        modules.builtin = ["nvme", "ahci"].map(str::to_owned).into();
        modules.add_soft("softdep ext4 pre: crypto-crc32c\n");
        modules
    }

    #[test]
    fn a_device_finds_its_modules_by_their_patterns() {
        let modules = modules();
        assert_eq!(modules.matching("virtio:d00000002v00001AF4"), ["virtio_blk"]);
        assert_eq!(modules.matching("scsi:t-0x00"), ["sd_mod"], "'-' and '_' are the same");
        let nvme = "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02";
        assert_eq!(modules.matching(nvme), ["ahci", "nvme"], "a built-in module is found, too");
        assert!(modules.matching("virtio:d00000003v00001AF4").is_empty());
        assert_eq!(modules.place("nvme"), Some(Linkage::BuiltIn));
        assert_eq!(modules.place("t10-pi"), Some(Linkage::Loadable));
        assert_eq!(modules.place("megaraid_sas"), None);
    }

    #[test]
    fn a_module_brings_what_it_needs_but_nothing_that_is_built_in() {
        let needs: Vec<String> = modules().with_needs(["ext4".to_owned(), "nvme".to_owned()]).into_iter().collect();
        assert_eq!(needs, ["crc32c_generic", "ext4", "jbd2"]);
        assert_eq!(modules().chain("ext4"), ["jbd2", "ext4"]);
    }

    #[test]
    fn soft_dependencies_come_before_a_module_but_for_those_that_need_it() {
        let mut modules = modules();
        assert_eq!(modules.before("ext4").into_iter().collect::<Vec<_>>(), ["crc32c_generic", "jbd2"]);
        modules.add_soft("softdep jbd2 post: ext4\n");
        assert!(modules.before("jbd2").is_empty(), "ext4 cannot be loaded before it");
        assert_eq!(modules.patterns()["virtio_blk"].iter().collect::<Vec<_>>(), [&"virtio:d00000002v*"]);
        assert!(!modules.patterns().contains_key("crc32c_generic"), "no device has that name");
    }

    #[test]
    fn modules_that_need_each_other_end() {
        let mut modules = Modules::default();
        modules.add_dep("a.ko: b.ko\nb.ko: a.ko\n");
        modules.add_soft("softdep a post: a b crypto-none\n");
        assert_eq!(modules.with_needs(["a".to_owned()]).len(), 2);
    }
}
