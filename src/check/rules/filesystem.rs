//! Rules about the root filesystem: its kernel and GRUB must be able to read what mkfs made. They all read
//! what flipslot chooses by itself; a user's options, or an mkfs that turns on a new feature by itself, can
//! make something else.

use crate::check::subject::Subject;
use crate::error::Result;
use crate::filesystem::feature_table::{Version, version};
use crate::kernel::find::has_option;

/// Version that is newer than every GRUB: a feature that it does not read, none reads.
const ANY_GRUB: Version = (u32::MAX - 1, 0);

/// Finds features of the filesystem that the slot's kernel does not know.
pub fn kernel(subject: &Subject) -> Result<Vec<String>> {
    let (Some(features), Some(kernel)) = (&subject.features, &subject.kernel) else { return Ok(Vec::new()) };
    let who = format!("kernel {} does not know", kernel.version);
    let mut unknown = features.too_new_for_kernel(&kernel.version);
    for (name, option) in features.behind_options() {
        let may_lack_it = version(&kernel.version) >= Some(option.since);
        if may_lack_it && has_option(subject.tree, kernel, option.name)? == Some(false) {
            unknown.push(name);
        }
    }
    Ok(unread(subject, &who, &unknown))
}

/// Finds features of the filesystem that no GRUB reads.
pub fn grub(subject: &Subject) -> Result<Vec<String>> {
    let Some(features) = &subject.features else { return Ok(Vec::new()) };
    Ok(unread(subject, "no GRUB reads", &features.unread_by_grub(ANY_GRUB)))
}

/// Finds features of the filesystem that the disk's GRUB may not read: a distribution's GRUB may read more
/// than the one that was released.
pub fn old_grub(subject: &Subject) -> Result<Vec<String>> {
    let Some(features) = &subject.features else { return Ok(Vec::new()) };
    let never = features.unread_by_grub(ANY_GRUB);
    let unsure: Vec<&str> =
        features.unread_by_grub(subject.grub).into_iter().filter(|name| !never.contains(name)).collect();
    let (major, minor) = subject.grub;
    Ok(unread(subject, &format!("GRUB {major}.{minor:02}, as released, does not read"), &unsure))
}

fn unread(subject: &Subject, who: &str, names: &[&str]) -> Vec<String> {
    let name = subject.on.filesystem_name().unwrap_or("root");
    let text = || format!("its {name} filesystem has features that {who}: {}", names.join(", "));
    if names.is_empty() { Vec::new() } else { vec![text()] }
}
