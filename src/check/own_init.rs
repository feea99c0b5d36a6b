//! Finds what a slot needs that an initramfs with flipslot's own init does not have.

use crate::boot::initramfs_source::MadeBy;
use crate::check::subject::{Initramfs, Subject};
use crate::error::Result;
use crate::kernel::requirements;

/// Folder of an image's own settings for dracut.
const DRACUT: &str = "etc/dracut.conf.d";
/// Starts of words for what only a larger initramfs does: encryption, LVM, RAID, multipath, a root over the network.
const WORDS: [&str; 10] = [
    "rd.auto",
    "rd.luks.",
    "rd.lvm.",
    "rd.md.",
    "rd.multipath=1",
    "rd.neednet=1",
    "rd.iscsi.",
    "netroot=",
    "ip=",
    "resume=",
];
/// Options of crypttab(5) by which a device is opened in the initramfs: systemd's, and Debian's.
const CRYPTTAB: [&str; 2] = ["x-initrd.attach", "initramfs"];
/// Most that is read of a configuration file, in bytes.
const LONGEST: u64 = 1 << 20;

/// Returns what the slot needs in its initramfs that flipslot's own init cannot do; `None` if there is nothing.
pub fn beyond(subject: &Subject) -> Result<Option<String>> {
    if let Some(word) = subject.cmdline.words().find(|word| WORDS.iter().any(|start| word.starts_with(start))) {
        return Ok(Some(format!("its command line has {word}")));
    }
    let crypttab = subject.tree.read("etc/crypttab", LONGEST)?.unwrap_or_default();
    let options =
        crypttab.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_whitespace().nth(3));
    if options.flat_map(|options| options.split(',')).any(|option| CRYPTTAB.contains(&option)) {
        return Ok(Some("its /etc/crypttab opens a device in the initramfs".to_owned()));
    }
    Ok(None)
}

/// Returns the word for a resume from sleep, which no first stage does: a system that slept must not go on over a root
/// that was mounted since.
pub fn resume(subject: &Subject) -> Option<String> {
    subject.cmdline.words().find(|word| word.starts_with("resume=")).map(|word| format!("its command line has {word}"))
}

/// Returns a file in which the image has settings of its own for dracut, which flipslot's init knows nothing of.
pub fn dracut_settings(subject: &Subject) -> Result<Option<String>> {
    let names = subject.tree.list(DRACUT)?;
    Ok(names.into_iter().find(|name| name.ends_with(".conf")).map(|name| format!("it has /{DRACUT}/{name}")))
}

/// Returns true if another initramfs than the subject's, which is the image's, can be made.
pub fn may_remake(subject: &Subject) -> bool {
    let is_own = matches!(subject.initramfs, Initramfs::There { by: MadeBy::Image, .. });
    is_own && (requirements::has_dracut(subject.tree) || is_enough(subject).unwrap_or(false))
}

/// Returns true if flipslot's own init does for a slot whose image has no settings for dracut.
pub fn is_enough(subject: &Subject) -> Result<bool> {
    Ok(beyond(subject)?.is_none() && dracut_settings(subject)?.is_none())
}
