//! The root filesystem: that its kernel and GRUB can read what mkfs made.

use crate::check::Subject;
use crate::error::Result;

/// The GRUB whose abilities count, where it is not known which one a disk has: the oldest that is used.
const GRUB: (u32, u32) = (2, 6);

/// Its features are newer than the kernel.
pub fn kernel(subject: &Subject) -> Result<Vec<String>> {
    let (Some(features), Some(kernel)) = (&subject.features, &subject.kernel) else { return Ok(Vec::new()) };
    let unknown = features.too_new_for_kernel(&kernel.version);
    Ok(if unknown.is_empty() {
        Vec::new()
    } else {
        vec![format!(
            "its {} filesystem has features that kernel {} does not know: {}",
            subject.filesystem,
            kernel.version,
            unknown.join(", ")
        )]
    })
}

/// GRUB cannot read them.
pub fn grub(subject: &Subject) -> Result<Vec<String>> {
    let Some(features) = &subject.features else { return Ok(Vec::new()) };
    let unread = features.unread_by_grub(GRUB);
    Ok(if unread.is_empty() {
        Vec::new()
    } else {
        vec![format!(
            "its {} filesystem has features that GRUB {}.{:02} does not read: {}",
            subject.filesystem,
            GRUB.0,
            GRUB.1,
            unread.join(", ")
        )]
    })
}
