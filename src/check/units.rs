//! systemd's units in a slot: which there are, which are masked, which are started (systemd.unit(5)).

use crate::error::Result;
use crate::filesystem::Tree;
use crate::filesystem::tree::{Last, What};

/// Where systemd looks for units; the first that has one wins.
const FOLDERS: [&str; 4] =
    ["etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];
/// More units than pull others in.
const ENTRIES_MAX: usize = 1000;
/// Links of units to units that are followed here.
const ALIASES_MAX: usize = 8;
/// More bytes than a unit has. As much is kept of an image (kept/wanted.rs).
const UNIT_MAX: u64 = 64 << 10;

/// What systemd finds under a unit's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    /// A unit; where it is, below the root.
    Present(String),
    /// It may not be started: where that is said.
    Masked(String),
    /// A link to what is not there: where it is, and what it says.
    Dangling(String, String),
    /// Nothing.
    Missing,
}

/// Looks for a unit; an instance, such as `getty@tty1.service`, is made of its template.
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
                // systemd takes the target for another unit's name, wherever that one is.
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

/// What stands first under this name in systemd's folders.
fn first(tree: &dyn Tree, name: &str) -> Result<Option<(String, What)>> {
    for folder in FOLDERS {
        let path = format!("{folder}/{name}");
        if let Some(found) = tree.look(&path, Last::Keep)? {
            return Ok(Some((path, found.what)));
        }
    }
    Ok(None)
}

/// `getty@.service` of `getty@tty1.service`.
pub fn template(name: &str) -> Option<String> {
    let (prefix, rest) = name.split_once('@')?;
    let (instance, kind) = rest.rsplit_once('.')?;
    (!instance.is_empty()).then(|| format!("{prefix}@.{kind}"))
}

/// Whether something starts this unit: a link in some unit's `.wants` or `.requires`, and a unit that is
/// there.
pub fn is_enabled(tree: &dyn Tree, name: &str) -> Result<bool> {
    if !matches!(unit(tree, name)?, Unit::Present(_)) {
        return Ok(false);
    }
    for folder in FOLDERS {
        let pulls = |entry: &String| entry.ends_with(".wants") || entry.ends_with(".requires");
        for entry in tree.list(folder)?.into_iter().filter(pulls).take(ENTRIES_MAX) {
            if tree.look(&format!("{folder}/{entry}/{name}"), Last::Keep)?.is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The program that a service starts, below the root; `None` if it says none in its own file.
pub fn program(tree: &dyn Tree, path: &str) -> Result<Option<String>> {
    let text = tree.read(path, UNIT_MAX)?.unwrap_or_default();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("ExecStart="));
    // Prefixes change how it is started (systemd.service(5)).
    let command = line.map(|line| line.trim_start_matches(['-', '@', ':', '+', '!']));
    Ok(command
        .and_then(|command| command.split_whitespace().next())
        .map(|program| program.trim_start_matches('/').to_owned()))
}
