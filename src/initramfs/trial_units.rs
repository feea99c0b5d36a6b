//! Files that a slot on trial needs in its initramfs, and the places where an image keeps systemd.

/// Files that a slot on trial needs in its initramfs: path there, and text. Units are started by drop-ins of
/// targets, not by links: dracut copies the file that a link points to.
pub const IN_INITRAMFS: [(&str, &str); 6] = [
    ("usr/lib/systemd/system/flipslot-root-check.service", include_str!("../../agent/initramfs-root-check.service")),
    (
        "usr/lib/systemd/system/initrd-switch-root.target.d/flipslot.conf",
        include_str!("../../agent/initramfs-root-check.conf"),
    ),
    ("usr/lib/flipslot/look-for-init", include_str!("../../agent/initramfs-root-check")),
    ("usr/lib/systemd/system/flipslot-deadline.service", include_str!("../../agent/initramfs-deadline.service")),
    ("usr/lib/systemd/system/sysinit.target.d/flipslot.conf", include_str!("../../agent/initramfs-deadline.conf")),
    ("usr/lib/flipslot/deadline", include_str!("../../agent/initramfs-deadline")),
];
/// Paths of systemd, with a merged /usr and without.
pub const SYSTEMD: [&str; 2] = ["usr/lib/systemd/systemd", "lib/systemd/systemd"];
