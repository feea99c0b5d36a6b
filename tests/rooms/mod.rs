//! The rooms of `src/`: knowledge flows one way between them, no files know each other in a circle, and the list in
//! docs/design.md is what is there.

mod source;

use source::{Module, modules};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The rooms, lowest first: each uses only rooms before it.
const ORDER: [&str; 34] = [
    "error",
    "progress",
    "sys",
    "tool",
    "words",
    "archive",
    "mount",
    "hardware",
    "layer",
    "root",
    "filesystem",
    "kernel",
    "boot",
    "chamber",
    "unpack",
    "oci",
    "network",
    "init",
    "init_main",
    "initramfs",
    "disk",
    "check",
    "jump",
    "publish",
    "clone",
    "cli",
    "request",
    "output",
    "build",
    "configuration",
    "forms",
    "serve",
    "commands",
    "main",
];

/// Values and reports that all rooms share: they use one another, and no other room.
const SHARED: [&str; 5] = ["error", "progress", "sys", "tool", "words"];

#[test]
fn a_room_uses_only_rooms_before_it() {
    let place = |room: &str| ORDER.iter().position(|known| *known == room);
    for module in modules() {
        let from = place(module.room()).unwrap_or_else(|| panic!("{} is not in the order of rooms", module.room()));
        for used in &module.uses {
            let to = place(used.split('/').next().unwrap_or(used));
            let shared = SHARED.contains(&module.room()) && SHARED.contains(&used.split('/').next().unwrap_or(used));
            assert!(
                shared || to.is_some_and(|to| to <= from),
                "src/{}.rs uses {used}, a room after its own",
                module.name
            );
        }
    }
}

#[test]
fn no_files_know_each_other_in_a_circle() {
    let mut left: BTreeMap<String, BTreeSet<String>> =
        modules().into_iter().map(|Module { name, uses, .. }| (name, uses)).collect();
    // What uses nothing that is left is in no circle.
    loop {
        let free: Vec<String> = left.iter().filter(|(_, uses)| uses.is_empty()).map(|(name, _)| name.clone()).collect();
        if free.is_empty() {
            break;
        }
        left.retain(|name, _| !free.contains(name));
        left.values_mut().for_each(|uses| uses.retain(|used| !free.contains(used)));
    }
    // And what nothing that is left uses.
    loop {
        let used: BTreeSet<String> = left.values().flatten().cloned().collect();
        let before = left.len();
        left.retain(|name, _| used.contains(name));
        if left.len() == before {
            break;
        }
    }
    assert!(left.is_empty(), "these files know each other in a circle: {:?}", left.keys().collect::<Vec<_>>());
}

#[test]
fn the_design_page_lists_the_rooms_and_their_files() {
    const BEGIN: &str = "<!-- rooms -->\n";
    const END: &str = "<!-- end of rooms -->\n";
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/design.md");
    let text = fs::read_to_string(&page).unwrap();
    let (head, rest) = text.split_once(BEGIN).expect("the page has a list of rooms");
    let (list, tail) = rest.split_once(END).expect("the list has an end");
    let now = rooms();
    if std::env::var_os("FLIPSLOT_WRITE_DOCS").is_some() {
        fs::write(page, format!("{head}{BEGIN}{now}{END}{tail}")).unwrap();
    } else {
        assert_eq!(list, now, "docs/design.md is behind; write it again: make docs");
    }
}

/// The list of rooms, as a table in Markdown.
fn rooms() -> String {
    let modules = modules();
    let mut table = "| room | purpose | files |\n|---|---|---|\n".to_owned();
    for room in ORDER {
        let files: Vec<&str> =
            modules.iter().filter_map(|module| module.name.strip_prefix(room)?.strip_prefix('/')).collect();
        let head = modules.iter().find(|module| module.name == room).expect("each room has a module");
        let slash = if files.is_empty() { ".rs" } else { "/" };
        table += &format!("| `{room}{slash}` | {} | {} |\n", head.purpose, files.join(", "));
    }
    table
}
