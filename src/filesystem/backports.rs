//! Kernels of enterprise distributions, whose version says less than it seems: their readers of filesystems come from
//! later versions. What is in no row is taken for what its version says: Ubuntu (`-generic`, HWE kernels too) and
//! Oracle's UEK (`.el8uek`) are made from the version of Linux that they name, and SUSE (`-default`) from that and
//! later, so that at least this can be read.

use crate::filesystem::feature_table::{Version, version};

/// A kernel that reads one filesystem as a later version of Linux does.
struct Backport {
    /// Part of the kernel's version that names the distribution's release.
    mark: &'static str,
    /// First build of that release for which the row is known to hold: 1160 in 3.10.0-1160.45.1.el7.
    build: u32,
    filesystem: &'static str,
    /// Version of Linux whose features it knows.
    reads_as: Version,
}

/// All rows, each with its source.
const ROWS: [Backport; 3] = [
    // CentOS 7.9 mounts what Ubuntu 20.04's mkfs.xfs makes (crc, finobt, ftype, sparse) but for reflink, which it
    // says it does not know: "unknown read-only compatible features (0x4)" of 3.10.0-1160.45.1.el7
    // (bugs.launchpad.net/maas/+bug/1965587, comment 12). Sparse inodes are of 4.2, reflink of 4.9.
    Backport { mark: ".el7", build: 1160, filesystem: "xfs", reads_as: (4, 2) },
    // Neither bigtime nor inobtcount, which are of 5.10 (Red Hat, "Considerations in adopting RHEL 9", File systems).
    Backport { mark: ".el8", build: 0, filesystem: "xfs", reads_as: (4, 18) },
    // Both of them by default (the same).
    Backport { mark: ".el9", build: 0, filesystem: "xfs", reads_as: (5, 14) },
];

/// Returns the version of Linux as which a kernel (`uname -r`: "3.10.0-1160.el7.x86_64") reads a filesystem; `None`
/// if its version cannot be read.
pub fn reads_as(kernel: &str, filesystem: &str) -> Option<Version> {
    let own = version(kernel)?;
    let build = kernel.split_once('-').and_then(|(_, rest)| rest.split('.').next()?.parse().ok()).unwrap_or(0);
    let fits = |row: &&Backport| row.filesystem == filesystem && row.build <= build && is_of(kernel, row.mark);
    Some(ROWS.iter().find(fits).map_or(own, |row| row.reads_as.max(own)))
}

/// Returns true if the mark stands for itself: `.el8` is not `.el8uek`, Oracle's own kernel.
fn is_of(kernel: &str, mark: &str) -> bool {
    let rest = kernel.split_once(mark).map(|(_, rest)| rest);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '_']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enterprise_kernels_read_xfs_as_their_backports_do_and_others_as_their_version_says() {
        let xfs = |kernel| reads_as(kernel, "xfs");
        assert_eq!(xfs("3.10.0-1160.el7.x86_64"), Some((4, 2)));
        assert_eq!(xfs("3.10.0-123.el7.x86_64"), Some((3, 10)));
        assert_eq!(reads_as("3.10.0-1160.el7.x86_64", "ext4"), Some((3, 10)));
        assert_eq!(xfs("4.18.0-240.el8.x86_64"), Some((4, 18)));
        assert_eq!(xfs("4.18.0-553.el8_10.x86_64"), Some((4, 18)));
        assert_eq!(xfs("5.14.0-70.13.1.el9_0.x86_64"), Some((5, 14)));
        assert_eq!(xfs("5.4.17-2136.300.7.el8uek.x86_64"), Some((5, 4)));
        assert_eq!(xfs("6.8.0-40-generic"), Some((6, 8)), "Ubuntu 22.04 with its HWE kernel");
        assert_eq!(xfs("5.14.21-150500.55.39-default"), Some((5, 14)), "SUSE Linux Enterprise 15 SP5");
        assert_eq!(xfs("3.10.0-1160.elrepo"), Some((3, 10)));
        assert_eq!(xfs("6.1.0-49-amd64"), Some((6, 1)));
        assert_eq!(xfs("odd"), None);
    }
}
