//! Loads the modules of the plan: those that each device needs, after those that they need, as many at a time as there
//! are processors.

use crate::init::kernel_log::{Level, log};
use crate::init::plan::{Module, Plan};
use crate::init::words::Words;
use crate::words::pattern::is_match;
use rustix::io::Errno;
use rustix::system::finit_module;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs::File;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Modules of a plan, and which of them were loaded, or failed.
pub struct Loader<'p> {
    modules: BTreeMap<&'p str, &'p Module>,
    /// Modules that are not loaded for a device.
    blacklist: BTreeSet<&'p str>,
    words: &'p Words,
    done: BTreeSet<&'p str>,
}

impl<'p> Loader<'p> {
    /// Prepares to load the modules of `plan`.
    pub fn new(plan: &'p Plan, words: &'p Words) -> Loader<'p> {
        let modules = plan.modules.iter().map(|module| (module.name.as_str(), module)).collect();
        let blacklist = plan.blacklist.iter().chain(&words.blacklist).map(String::as_str).collect();
        Loader { modules, blacklist, words, done: BTreeSet::new() }
    }

    /// Loads the modules that have a pattern for one of these devices.
    pub fn load_for(&mut self, modaliases: &[String]) {
        let normal: Vec<String> = modaliases.iter().map(|modalias| modalias.replace('-', "_")).collect();
        let drives =
            |module: &Module| module.aliases.iter().any(|alias| normal.iter().any(|name| is_match(alias, name)));
        let may = |name: &str| !self.done.contains(name) && !self.blacklist.contains(name);
        let wanted = self.modules.values().filter(|module| may(&module.name) && drives(module));
        let wanted: Vec<&'p str> = wanted.map(|module| module.name.as_str()).collect();
        self.load(&wanted);
    }

    /// Loads modules by name, with all that they need; returns when all of them were.
    pub fn load(&mut self, names: &[&str]) {
        let batch = self.batch(names);
        let unfinished = batch.iter().map(|module| module.name.as_str()).collect();
        let queue = Mutex::new(Queue { waiting: batch.clone(), unfinished });
        let changed = Condvar::new();
        let workers = thread::available_parallelism().map_or(1, usize::from).min(batch.len());
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some(module) = next(&queue, &changed) {
                        insert(module, self.words);
                        locked(&queue).unfinished.remove(module.name.as_str());
                        changed.notify_all();
                    }
                });
            }
        });
        self.done.extend(batch.iter().map(|module| module.name.as_str()));
    }

    /// Returns what is to be loaded for `names`, each once, without what was loaded already or may not be.
    fn batch(&self, names: &[&str]) -> Vec<&'p Module> {
        let (mut batch, mut seen) = (Vec::new(), BTreeSet::new());
        let mut open: Vec<String> = names.iter().map(ToString::to_string).collect();
        while let Some(name) = open.pop() {
            let Some(module) = self.modules.get(name.as_str()) else { continue };
            let is_new = seen.insert(module.name.as_str()) && !self.done.contains(module.name.as_str());
            if is_new && !self.words.banned.contains(&module.name) {
                open.extend(module.needs.iter().cloned());
                batch.push(*module);
            }
        }
        batch
    }
}

/// A batch that is being loaded.
struct Queue<'p> {
    /// Modules that were not begun.
    waiting: Vec<&'p Module>,
    /// Modules that were not loaded yet.
    unfinished: BTreeSet<&'p str>,
}

fn locked<'q, 'p>(queue: &'q Mutex<Queue<'p>>) -> MutexGuard<'q, Queue<'p>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the next module whose needs were loaded, and waits for one; `None` when none is left.
fn next<'p>(queue: &Mutex<Queue<'p>>, changed: &Condvar) -> Option<&'p Module> {
    let mut left = locked(queue);
    loop {
        if left.waiting.is_empty() {
            return None;
        }
        let is_ready = |module: &&Module| !module.needs.iter().any(|need| left.unfinished.contains(need.as_str()));
        let ready = left.waiting.iter().position(is_ready);
        // depmod(8) writes no cycles; modules in one are tried as they come.
        let is_stuck = left.waiting.len() == left.unfinished.len();
        if let Some(index) = ready.or(is_stuck.then_some(0)) {
            return Some(left.waiting.remove(index));
        }
        left = changed.wait(left).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Gives one module to the kernel. A driver whose device is missing is not an error.
fn insert(module: &Module, words: &Words) {
    let options = [module.options.as_str(), &words.parameters_of(&module.name)].join(" ");
    let inserted = match (File::open(&module.path), CString::new(options.trim())) {
        (Ok(file), Ok(options)) => finit_module(file, &options, 0).map_err(std::io::Error::from),
        (Err(error), _) => Err(error),
        (_, Err(_)) => Err(Errno::INVAL.into()),
    };
    match inserted.map_err(|error| Errno::from_io_error(&error).ok_or(error)) {
        Ok(()) if words.debug => log(Level::Info, &format!("loaded {}", module.name)),
        Ok(()) | Err(Ok(Errno::EXIST | Errno::NODEV)) => {}
        Err(Ok(errno)) => log(Level::Warning, &format!("loading {}: {errno}", module.path)),
        Err(Err(error)) => log(Level::Warning, &format!("loading {}: {error}", module.path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::plan::VERSION;

    fn plan(modules: &[(&str, &[&str], &[&str])]) -> Plan {
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let modules = modules.iter().map(|(name, needs, aliases)| Module {
            name: (*name).to_owned(),
            path: format!("/nowhere/{name}.ko"),
            needs: texts(needs),
            aliases: texts(aliases),
            options: String::new(),
        });
        let (modules, none) = (modules.collect(), Vec::new);
        Plan {
            version: VERSION,
            kernel: String::new(),
            modules,
            always: none(),
            blacklist: none(),
            made: 0,
            layer_of: None,
            steps: Vec::new(),
        }
    }

    fn named(batch: &[&Module]) -> Vec<String> {
        batch.iter().map(|module| module.name.clone()).collect()
    }

    #[test]
    fn a_module_brings_its_needs_and_what_was_loaded_or_is_banned_is_left_out() {
        let plan = plan(&[("ring", &[], &[]), ("blk", &["ring"], &[]), ("net", &["ring"], &[]), ("bad", &[], &[])]);
        let words = Words::read("module_blacklist=bad modprobe.blacklist=ring");
        let mut loader = Loader::new(&plan, &words);
        assert_eq!(named(&loader.batch(&["blk", "bad", "none"])), ["blk", "ring"]);
        loader.load(&["blk"]);
        assert_eq!(named(&loader.batch(&["net"])), ["net"]);
    }

    #[test]
    fn needs_come_first_and_a_circle_ends() {
        let plan =
            plan(&[("a", &["b"], &[]), ("b", &["c"], &[]), ("c", &[], &[]), ("x", &["y"], &[]), ("y", &["x"], &[])]);
        let words = Words::read("");
        let loader = Loader::new(&plan, &words);
        let batch = loader.batch(&["a", "x"]);
        let unfinished = batch.iter().map(|module| module.name.as_str()).collect();
        let (queue, changed) = (Mutex::new(Queue { waiting: batch, unfinished }), Condvar::new());
        let mut order = Vec::new();
        while let Some(module) = next(&queue, &changed) {
            locked(&queue).unfinished.remove(module.name.as_str());
            order.push(module.name.as_str());
        }
        let place = |name| order.iter().position(|other| *other == name);
        assert_eq!(order.len(), 5);
        assert!(place("c") < place("b") && place("b") < place("a"), "{order:?}");
    }

    #[test]
    fn a_device_brings_the_modules_with_its_pattern() {
        let plan =
            plan(&[("nvme", &[], &["pci:v*d*sv*sd*bc01sc08i02*"]), ("ahci", &[], &["pci:v*d*sv*sd*bc01sc06i01*"])]);
        let words = Words::read("");
        let mut loader = Loader::new(&plan, &words);
        loader.load_for(&["pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02".to_owned()]);
        assert!(loader.done.contains("nvme") && !loader.done.contains("ahci"));
    }
}
