//! The rule about what an image does to the units of flipslot's agent.

use crate::check::subject::Subject;
use crate::check::units::{FOLDERS, Unit, unit};
use crate::error::Result;
use crate::root::tree::{Last, What};

/// Units of the agent (build/agent.rs).
const UNITS: [&str; 3] = ["flipslot-trial.service", "flipslot-health.service", "flipslot-run.service"];
/// Folder of the agent's own units.
const OWN: &str = "usr/lib/systemd/system/";
/// Drop-in folder of every service whose name begins with `flipslot-` (systemd.unit(5)).
const OF_ALL: &str = "flipslot-.service.d";

/// Finds masks, units and drop-ins of the image that would take the place of the agent's units, or change them.
pub fn overridden(subject: &Subject) -> Result<Vec<String>> {
    let tree = subject.tree;
    let mut found = Vec::new();
    for name in UNITS {
        match unit(tree, name)? {
            Unit::Masked(path) => found.push(format!("/{path} masks {name}, a unit of the agent")),
            Unit::Present(path) | Unit::Dangling(path, _) if !path.starts_with(OWN) => {
                found.push(format!("/{path} replaces {name}, a unit of the agent"));
            }
            _ => {}
        }
    }
    // Where /lib is a link, its folder is that of /usr/lib.
    let lib = tree.look("lib", Last::NoFollow)?.map(|found| found.what);
    let is_merged = matches!(lib, Some(What::Symlink { .. }));
    let folders = UNITS.iter().map(|name| format!("{name}.d")).chain([OF_ALL.to_owned()]);
    let folders = folders.flat_map(|drop_ins| FOLDERS.map(|folder| format!("{folder}/{drop_ins}")));
    for folder in folders.filter(|folder| !(is_merged && folder.starts_with("lib/"))) {
        let names = tree.list(&folder)?;
        let drop_ins = names.iter().filter(|name| name.ends_with(".conf"));
        found.extend(drop_ins.map(|name| format!("/{folder}/{name} changes a unit of the agent")));
    }
    found.sort();
    found.dedup();
    Ok(found)
}
