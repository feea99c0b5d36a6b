//! Chooses the initramfs that a slot boots with: the image's own, one that its dracut makes, or one of flipslot's own.

use crate::boot::initramfs_source::{MadeBy, Source};
use crate::boot::record::Fixed;
use crate::check::fix;
use crate::check::own_init;
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
    /// Maker of the initramfs: the image's dracut, flipslot, or whoever made the image.
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
    if let Some(by) = new_one(source) {
        refuse_not_enough(subject, by)?;
        return Ok(chosen(by, "it was asked for"));
    }
    if matches!(subject.initramfs, Initramfs::ToBeMade) {
        if source == Source::Image {
            return Err(failed(
                "the image has no initramfs of its own for its kernel",
                "let its dracut make one: --initramfs dracut, or flipslot: --initramfs flipslot",
            ));
        }
        let (by, why) = maker(subject)?.unwrap_or((MadeBy::Dracut, ""));
        return Ok(chosen(by, &format!("the image has none{why}")));
    }
    let maker = maker(subject)?;
    if source == Source::Auto
        && let Some((by, because)) = maker
        && let Some(name) = bound_to_another(subject)
    {
        let why = format!("the image's own was made for a machine with a different setup: it holds {name}{because}");
        return Ok(chosen(by, &why));
    }
    let report = Report::of(subject, Ask::Initramfs, policy)?;
    // An allowed error is not a reason to take the image's own where a better one can be made.
    let stands = |found: &&Finding| source == Source::Auto || found.outcome != Outcome::Allowed;
    let Some(error) = report.errors().find(stands) else {
        return Ok(chosen(MadeBy::Image, &format!("the image's own fits {}", subject.inventory.machine)));
    };
    let Some((by, because)) = maker else { return Ok(chosen(MadeBy::Image, "there is no other")) };
    let fixed = fix::by_remaking(&report, &format!("{by} made a new initramfs"));
    if source == Source::Image && fixed.is_empty() {
        return Ok(chosen(MadeBy::Image, "there is no other"));
    }
    Ok(Chosen { by, why: format!("the image's own is unsuitable: {}{because}", error.found), fixed })
}

/// Returns who makes the initramfs that was asked for, whatever the image brings; `None` if that counts.
fn new_one(source: Source) -> Option<MadeBy> {
    match source {
        Source::Dracut => Some(MadeBy::Dracut),
        Source::Flipslot => Some(MadeBy::Flipslot),
        Source::TwoStage => Some(MadeBy::TwoStage),
        Source::Auto | Source::Image => None,
    }
}

/// Refuses an initramfs that cannot be made, or that lacks what the slot needs.
fn refuse_not_enough(subject: &Subject, by: MadeBy) -> Result<()> {
    if by != MadeBy::Flipslot && !requirements::has_dracut(subject.tree) {
        let hint = "install it in the image, or let flipslot make one: --initramfs flipslot";
        return Err(failed("the image has no dracut (/usr/bin/dracut)", hint));
    }
    let needed = match by {
        MadeBy::Flipslot => own_init::beyond(subject)?,
        MadeBy::TwoStage => own_init::resume(subject),
        MadeBy::Dracut | MadeBy::Image => None,
    };
    let refuse = |needed| {
        let found = format!("an initramfs made by {by} is not enough: {needed}");
        Err(failed(found, "use --initramfs dracut, which needs dracut in the image"))
    };
    needed.map_or(Ok(()), refuse)
}

/// Returns who makes an initramfs where the image's own does not do, with the reason that is added to that: the image's
/// dracut, which knows the image's settings; flipslot where there is none, if that is enough; else nobody.
fn maker(subject: &Subject) -> Result<Option<(MadeBy, &'static str)>> {
    if requirements::has_dracut(subject.tree) {
        return Ok(Some((MadeBy::Dracut, "")));
    }
    Ok(own_init::is_enough(subject)?.then_some((MadeBy::Flipslot, ", and no dracut")))
}

/// Returns the first file of the image's own initramfs that is specific to one machine.
fn bound_to_another<'s>(subject: &'s Subject) -> Option<&'s str> {
    let Initramfs::There { contents: Ok(contents), .. } = subject.initramfs else { return None };
    let is_bound = |name: &&String| {
        OF_ONE_MACHINE.iter().any(|known| name.as_str() == *known || (known.ends_with('/') && name.starts_with(known)))
    };
    contents.names.iter().find(is_bound).map(String::as_str)
}
