//! systemd's units in a slot: which exist, which are masked, which are started (systemd.unit(5)).

use crate::error::Result;
use crate::root::tree::{Last, Tree, What};

/// Folders of systemd's units; the first one that has a name wins.
pub const FOLDERS: [&str; 5] = [
    "etc/systemd/system.control",
    "etc/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
/// The most folders of links to units that are examined in one of [`FOLDERS`], which is more than there are.
const ENTRIES_MAX: usize = 1000;
/// The most links from unit to unit that are followed.
const ALIASES_MAX: usize = 8;
/// The most bytes that are read of a unit, which is more than one has. Of an image's units as much is kept
/// (root/memory/retention.rs).
const UNIT_MAX: u64 = 64 << 10;

/// Result of the search for a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    /// A unit, with its path below the root.
    Present(String),
    /// A unit that cannot be started, with the path of its mask.
    Masked(String),
    /// A link to a file that is not there, with its path and its target.
    Dangling(String, String),
    /// No unit of this name.
    Missing,
}

/// Finds a unit; an instance such as `getty@tty1.service` may come from its template.
pub fn unit(tree: &dyn Tree, name: &str) -> Result<Unit> {
    let found = by_name(tree, name)?;
    match template(name) {
        Some(template) if found == Unit::Missing => by_name(tree, &template),
        _ => Ok(found),
    }
}

fn by_name(tree: &dyn Tree, name: &str) -> Result<Unit> {
    let mut name = name.to_owned();
    let mut dangling = None;
    for _ in 0..ALIASES_MAX {
        let Some((path, what)) = first(tree, &name)? else { break };
        match what {
            What::File { size: 0 } => return Ok(Unit::Masked(path)),
            What::File { .. } => return Ok(Unit::Present(path)),
            What::Symlink { target } => {
                let target = String::from_utf8_lossy(&target).into_owned();
                if target == "/dev/null" {
                    return Ok(Unit::Masked(path));
                }
                if tree.has_file(&path) {
                    return Ok(Unit::Present(path));
                }
                // systemd takes the target's name for that of another unit, wherever that one is.
                let alias = target.rsplit('/').next().unwrap_or_default().to_owned();
                dangling.get_or_insert((path, target));
                if alias == name {
                    break;
                }
                name = alias;
            }
            What::Directory | What::Other => break,
        }
    }
    Ok(dangling.map_or(Unit::Missing, |(path, target)| Unit::Dangling(path, target)))
}

/// Returns the path and the kind of the first file of this name in systemd's folders.
fn first(tree: &dyn Tree, name: &str) -> Result<Option<(String, What)>> {
    for folder in FOLDERS {
        let path = format!("{folder}/{name}");
        if let Some(found) = tree.look(&path, Last::NoFollow)? {
            return Ok(Some((path, found.what)));
        }
    }
    Ok(None)
}

/// Returns the template of an instance: `getty@.service` for `getty@tty1.service`.
pub fn template(name: &str) -> Option<String> {
    let (prefix, rest) = name.split_once('@')?;
    let (instance, kind) = rest.rsplit_once('.')?;
    (!instance.is_empty()).then(|| format!("{prefix}@.{kind}"))
}

/// Returns true if the unit exists and something starts it: a link in some unit's `.wants` or `.requires`.
pub fn is_enabled(tree: &dyn Tree, name: &str) -> Result<bool> {
    if !matches!(unit(tree, name)?, Unit::Present(_)) {
        return Ok(false);
    }
    for folder in FOLDERS {
        let pulls = |entry: &String| entry.ends_with(".wants") || entry.ends_with(".requires");
        for entry in tree.list(folder)?.into_iter().filter(pulls).take(ENTRIES_MAX) {
            if tree.look(&format!("{folder}/{entry}/{name}"), Last::NoFollow)?.is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Returns the program that a service starts, below the root; `None` if the file of the service names none.
pub fn program(tree: &dyn Tree, path: &str) -> Result<Option<String>> {
    let text = tree.read(path, UNIT_MAX)?.unwrap_or_default();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("ExecStart="));
    // Prefixes change how the program is started (systemd.service(5)).
    let command = line.map(|line| line.trim_start_matches(['-', '@', ':', '+', '!']));
    Ok(command
        .and_then(|command| command.split_whitespace().next())
        .map(|program| program.trim_start_matches('/').to_owned()))
}
