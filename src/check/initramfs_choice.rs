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
    match source {
        Source::Dracut | Source::TwoStage if requirements::has_dracut(subject.tree) => {
            if source == Source::Dracut {
                return Ok(chosen(MadeBy::Dracut, "it was asked for"));
            }
            if let Some(needed) = own_init::resume(subject) {
                return Err(failed(
                    format!("two stages cannot do it: {needed}"),
                    "use --initramfs dracut, or omit resume=",
                ));
            }
            return Ok(chosen(MadeBy::TwoStage, "it was asked for"));
        }
        Source::Dracut | Source::TwoStage => {
            return Err(failed(
                "the image has no dracut (/usr/bin/dracut)",
                "install it in the image, or let flipslot make one: --initramfs flipslot",
            ));
        }
        Source::Flipslot => {
            if let Some(needed) = own_init::beyond(subject)? {
                return Err(failed(
                    format!("an initramfs of flipslot's own is not enough: {needed}"),
                    "use --initramfs dracut, which needs dracut in the image",
                ));
            }
            return Ok(chosen(MadeBy::Flipslot, "it was asked for"));
        }
        Source::Auto | Source::Image => {}
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
