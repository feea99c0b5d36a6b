//! The modules of `src/`, and which others each of them uses outside of its tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A module.
pub struct Module {
    /// Its path below `src/`, without `.rs`; that of a folder for its `mod.rs`.
    pub name: String,
    /// The first sentence of its documentation.
    pub purpose: String,
    /// The modules that it uses.
    pub uses: BTreeSet<String>,
}

impl Module {
    /// The top folder or file that it is in.
    pub fn room(&self) -> &str {
        self.name.split('/').next().unwrap_or(&self.name)
    }
}

/// All modules, by name; `lib.rs` only lists the rooms.
pub fn modules() -> Vec<Module> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    find(&src, &mut files);
    let name = |path: &Path| {
        let path = path.strip_prefix(&src).unwrap().with_extension("").to_string_lossy().into_owned();
        path.strip_suffix("/mod").map_or(path.clone(), ToOwned::to_owned)
    };
    let names: BTreeSet<String> = files.iter().map(|path| name(path)).collect();
    let module = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let name = name(path);
        let uses = paths(&text).iter().filter_map(|path| longest(path, &names)).filter(|used| *used != name).collect();
        Module { purpose: purpose(&text), uses, name }
    };
    let mut modules: Vec<Module> = files.iter().map(module).filter(|module| module.name != "lib").collect();
    modules.sort_by(|one, two| one.name.cmp(&two.name));
    modules
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("rs") => files.push(path),
            _ if path.is_dir() => find(&path, files),
            _ => {}
        }
    }
}

/// The first sentence of the module's documentation.
fn purpose(text: &str) -> String {
    let lines =
        text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).take_while(|line| !line.is_empty());
    let all = lines.collect::<Vec<_>>().join(" ");
    all.split_once(". ").map_or(all.as_str(), |(first, _)| first).trim_end_matches('.').to_owned()
}

/// The paths after `crate::` or `flipslot::` in code, one name each, as `disk/new/layout/Layout`.
fn paths(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = lines.collect::<Vec<_>>().join(" ");
    let mut paths = Vec::new();
    for start in ["crate::", "flipslot::"] {
        for (at, _) in code.match_indices(start) {
            expand("", &code[at + start.len()..], &mut paths);
        }
    }
    paths
}

/// Adds the paths at the beginning of `rest`, which may be a list in braces; returns what follows.
fn expand<'t>(prefix: &str, rest: &'t str, paths: &mut Vec<String>) -> &'t str {
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    let path = if word.is_empty() { prefix.to_owned() } else { format!("{prefix}{word}") };
    match after.strip_prefix("::") {
        Some(after) if after.starts_with('{') => {
            let mut after = &after[1..];
            loop {
                after = expand(&format!("{path}/"), after.trim_start(), paths);
                after = after.find([',', '}']).map_or("", |at| &after[at..]);
                match after.strip_prefix(',') {
                    Some(more) if !more.trim_start().starts_with('}') => after = more,
                    _ => return after.find('}').map_or("", |at| &after[at + 1..]),
                }
            }
        }
        Some(after) => expand(&format!("{path}/"), after, paths),
        None => {
            paths.push(path);
            after
        }
    }
}

/// The longest beginning of a path that is a module.
fn longest(path: &str, names: &BTreeSet<String>) -> Option<String> {
    let mut path = path;
    loop {
        if names.contains(path) {
            return Some(path.to_owned());
        }
        path = path.rsplit_once('/')?.0;
    }
}
