//! Chooses the initramfs that a slot boots with: the image's own, or one that its dracut makes.

use crate::boot::initramfs_source::{MadeBy, Source};
use crate::boot::record::Fixed;
use crate::check::fix;
use crate::check::policy::Policy;
use crate::check::report::{Ask, Finding, Outcome, Report};
use crate::check::subject::{Initramfs, Subject};
use crate::error::{Result, failed};
use crate::kernel::requirements;

/// Files in an initramfs that are specific to one machine: its words for the command line
/// (dracut.cmdline(7)), its encrypted disks (crypttab(5), also at the path that initramfs-tools uses), its
/// resume device.
const OF_ONE_MACHINE: [&str; 4] = ["etc/cmdline.d/", "etc/crypttab", "cryptroot/crypttab", "conf/conf.d/resume"];

/// The maker of a slot's initramfs, with the reason for the choice.
#[derive(Debug)]
pub struct Chosen {
    /// Maker of the initramfs: the image's dracut, or whoever made the image.
    pub by: MadeBy,
    /// Reason for the choice, for people.
    pub why: String,
    /// Rules whose findings the new initramfs fixes.
    pub fixed: Vec<Fixed>,
}

/// Chooses the initramfs. Takes the image's own if no rule finds an error in it, and also if there is no
/// alternative: the rules then report what is wrong.
pub fn choose(subject: &Subject, source: Source, policy: &Policy) -> Result<Chosen> {
    let chosen = |by, why: &str| Chosen { by, why: why.to_owned(), fixed: Vec::new() };
    if matches!(subject.initramfs, Initramfs::ToBeMade) {
        return match source {
            Source::Auto => Ok(chosen(MadeBy::Dracut, "the image has none")),
            Source::Dracut => Ok(chosen(MadeBy::Dracut, "it was asked for")),
            Source::Image => Err(failed(
                "the image has no initramfs of its own for its kernel",
                "let its dracut make one: --initramfs dracut",
            )),
        };
    }
    if source == Source::Auto
        && requirements::has_dracut(subject.tree)
        && let Some(name) = bound_to_another(subject)
    {
        let why = format!("the image's own was made for a machine with a different setup: it holds {name}");
        return Ok(chosen(MadeBy::Dracut, &why));
    }
    let report = Report::of(subject, Ask::Initramfs, policy)?;
    // An allowed error is not a reason to take the image's own where a better one can be made.
    let stands = |found: &&Finding| source == Source::Auto || found.outcome != Outcome::Allowed;
    let Some(error) = report.errors().find(stands) else {
        return Ok(chosen(MadeBy::Image, &format!("the image's own fits {}", subject.inventory.machine)));
    };
    let fixed = fix::by_dracut(&report, "dracut made a new initramfs");
    let may_make = source == Source::Auto || !fixed.is_empty();
    if !may_make || !requirements::has_dracut(subject.tree) {
        return Ok(chosen(MadeBy::Image, "there is no other"));
    }
    Ok(Chosen { by: MadeBy::Dracut, why: format!("the image's own is unsuitable: {}", error.found), fixed })
}

/// Returns the first file of the image's own initramfs that is specific to one machine.
fn bound_to_another<'s>(subject: &'s Subject) -> Option<&'s str> {
    let Initramfs::There { contents: Ok(contents), .. } = subject.initramfs else { return None };
    let is_bound = |name: &&String| {
        OF_ONE_MACHINE.iter().any(|known| name.as_str() == *known || (known.ends_with('/') && name.starts_with(known)))
    };
    contents.names.iter().find(is_bound).map(String::as_str)
}
