//! The rule about login prompts on the requested consoles (systemd-getty-generator(8)).

use crate::check::rules::cmdline::console_of;
use crate::check::subject::{FixContext, Subject};
use crate::check::units::{Unit, is_enabled, program, template, unit};
use crate::error::Result;
use crate::layer::LayerPath;
use crate::root::edit::Edit;
use crate::root::tree::{Last, Tree, What};

/// The target that every getty is part of.
const TARGET: &str = "getty.target";
/// Generator that makes a getty for each serial console.
const GENERATOR: &str = "systemd-getty-generator";
/// Folders of generators; the first one that has a name wins (systemd.generator(7)).
const GENERATORS: [&str; 4] = [
    "etc/systemd/system-generators",
    "usr/local/lib/systemd/system-generators",
    "usr/lib/systemd/system-generators",
    "lib/systemd/system-generators",
];
/// Paths of login(1), without which agetty(8) asks for a name and goes no further.
const LOGIN: [&str; 2] = ["bin/login", "usr/bin/login"];
/// Folder of a system's own units, which override those of its packages.
const CHOICES: &str = "etc/systemd/system";

/// Finds requested consoles without a login prompt, if none of them has one.
pub fn none(subject: &Subject) -> Result<Vec<String>> {
    let consoles = asked(subject);
    let has_systemd = unit(subject.tree, "basic.target")? != Unit::Missing;
    if consoles.is_empty() || !has_systemd {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for console in consoles {
        match why_none(subject.tree, console)? {
            None => return Ok(Vec::new()),
            Some(why) => found.push(why),
        }
    }
    Ok(found)
}

/// Returns the requested consoles. The screen accompanies every other console, and counts only if there is no
/// other.
fn asked<'s>(subject: &'s Subject) -> Vec<&'s str> {
    let all: Vec<&str> = subject.words().filter_map(console_of).collect();
    let others: Vec<&str> = all.iter().copied().filter(|console| *console != "tty0").collect();
    if others.is_empty() { all } else { others }
}

/// Returns the service that prompts for a login on a console.
fn service(console: &str) -> String {
    match console.strip_prefix("tty").and_then(|number| number.parse::<u8>().ok()) {
        // The kernel's own console shows the first terminal.
        Some(0) => "getty@tty1.service".to_owned(),
        Some(_) => format!("getty@{console}.service"),
        None => format!("serial-getty@{console}.service"),
    }
}

/// Returns the reason why this console has no login prompt; `None` if it has one.
fn why_none(tree: &dyn Tree, console: &str) -> Result<Option<String>> {
    let service = service(console);
    if let Unit::Masked(path) = unit(tree, TARGET)? {
        return Ok(Some(format!("/{path}, which starts every getty, is masked")));
    }
    let path = match unit(tree, &service)? {
        Unit::Masked(path) => return Ok(Some(format!("/{path} is masked"))),
        Unit::Missing => return Ok(Some(format!("there is no {service}"))),
        Unit::Dangling(path, target) => return Ok(Some(format!("/{path} leads to {target}, which is not there"))),
        Unit::Present(path) => path,
    };
    let generated = service.starts_with("serial-") && has_generator(tree)?;
    if !generated && !is_enabled(tree, &service)? {
        return Ok(Some(format!("{service} is there, but nothing starts it")));
    }
    if let Some(program) = program(tree, &path)?
        && !tree.has_program(&program)
    {
        return Ok(Some(format!("/{path} starts /{program}, which is not there")));
    }
    let has_login = LOGIN.iter().any(|path| tree.has_program(path));
    Ok((!has_login).then(|| "there is no /bin/login".to_owned()))
}

fn has_generator(tree: &dyn Tree) -> Result<bool> {
    for folder in GENERATORS {
        let path = format!("{folder}/{GENERATOR}");
        if tree.look(&path, Last::NoFollow)?.is_some() {
            return Ok(tree.has_program(&path)); // a mask is a link to /dev/null
        }
    }
    Ok(false)
}

/// Removes the masks, and starts a getty on each console.
pub fn unmask(context: &FixContext, root: &mut dyn Edit) -> Result<Vec<String>> {
    let mut done = Vec::new();
    for console in context.cmdline.words().filter_map(console_of) {
        let service = service(console);
        let mut names = vec![TARGET.to_owned(), service.clone()];
        names.extend(template(&service));
        for name in &names {
            let path = format!("{CHOICES}/{name}");
            if is_mask(root, &path)? {
                root.remove(&LayerPath::clean(path.as_bytes())?)?;
                done.push(format!("removed /{path}"));
            }
        }
        let Unit::Present(unit) = unit(root, &service)? else { continue };
        if !is_enabled(root, &service)? {
            let link = format!("{CHOICES}/{TARGET}.wants/{service}");
            root.put_symlink(&LayerPath::clean(link.as_bytes())?, format!("/{unit}").as_bytes())?;
            done.push(format!("{TARGET} starts {service}"));
        }
    }
    Ok(done)
}

/// Returns true if the unit file at `path` masks its unit: a link to /dev/null or to nothing, or an empty file.
fn is_mask(tree: &dyn Tree, path: &str) -> Result<bool> {
    Ok(tree.look(path, Last::NoFollow)?.is_some_and(|found| match found.what {
        What::Symlink { target } => target == b"/dev/null" || !tree.has_file(path),
        What::File { size } => size == 0,
        What::Directory | What::Other => false,
    }))
}
