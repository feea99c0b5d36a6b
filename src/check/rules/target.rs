//! The rule about the target that systemd starts: `default.target`.

use crate::check::subject::{FixContext, Subject};
use crate::check::units::{Unit, unit};
use crate::error::{Result, failed};
use crate::initramfs::trial_units::SYSTEMD;
use crate::layer::LayerPath;
use crate::root::edit::Edit;
use crate::root::tree::{Last, What};

/// The unit that systemd starts, where the command line names no other (bootup(7)).
const DEFAULT: &str = "default.target";
/// Path of a system's own default target.
const CHOICE: &str = "etc/systemd/system/default.target";
/// Target that a server starts.
const SERVER: &str = "multi-user.target";

/// Finds a default target that is missing, or that does not lead to one that can be started.
pub fn default(subject: &Subject) -> Result<Vec<String>> {
    let tree = subject.tree;
    if !SYSTEMD.iter().any(|path| tree.has_file(path)) {
        return Ok(Vec::new()); // another init
    }
    let asked = subject.word("systemd.unit").unwrap_or(DEFAULT);
    Ok(match unit(tree, asked)? {
        Unit::Missing => vec![format!("there is no {asked}")],
        Unit::Masked(path) => vec![format!("/{path} is masked")],
        Unit::Dangling(path, target) => vec![format!("/{path} leads to {target}, which is not there")],
        Unit::Present(path) => masked_target(subject, &path)?.into_iter().collect(),
    })
}

/// Returns a finding if the link at `path` names a target that is masked by its own name.
fn masked_target(subject: &Subject, path: &str) -> Result<Option<String>> {
    let Some(found) = subject.tree.look(path, Last::NoFollow)? else { return Ok(None) };
    let What::Symlink { target } = found.what else { return Ok(None) };
    let target = String::from_utf8_lossy(&target).into_owned();
    let name = target.rsplit('/').next().unwrap_or_default();
    Ok(match unit(subject.tree, name)? {
        Unit::Masked(masked) => Some(format!("/{path} leads to {name}, which is masked (/{masked})")),
        _ => None,
    })
}

/// Links the default target to the one that a server starts.
pub fn link_server(_: &FixContext, root: &mut dyn Edit) -> Result<Vec<String>> {
    let Unit::Present(path) = unit(root, SERVER)? else {
        let found = format!("cannot fix default.target: there is no {SERVER}");
        return Err(failed(found, "install all of systemd in the image"));
    };
    root.put_symlink(&LayerPath::clean(CHOICE.as_bytes())?, format!("/{path}").as_bytes())?;
    Ok(vec![format!("/{CHOICE} leads to {SERVER}")])
}
