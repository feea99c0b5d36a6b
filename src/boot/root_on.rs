//! The place of a root filesystem, as one value from which all that a boot needs of it follows: words of the
//! command line, kernel modules, dracut modules, and whether the network is needed.

use crate::filesystem::kind::Filesystem;
use crate::root::packed::Format;
use crate::words::digest::Digest;
use crate::words::kernel_line::{AUTH_KEY, KEYS_KEY, REALMS_KEY, VERITY_KEY};
use crate::words::partuuid::PartUuid;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The place of a root filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootOn {
    /// A partition of a disk, mounted for reading and writing: a slot.
    Partition {
        /// Partition identifier by which Linux finds it.
        partuuid: PartUuid,
        /// Filesystem in it.
        filesystem: Filesystem,
    },
    /// A read-only image in one file, with files in RAM over it.
    Live {
        /// Format of that file.
        format: LiveFormat,
        /// Origin of that file.
        from: LiveSource,
    },
    /// Memory: the initramfs is the root.
    Ram,
}

/// Formats of a live image, as `flipslot.format=` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LiveFormat {
    /// squashfs: every supported kernel reads it
    Squashfs,
    /// EROFS: for kernels since 5.4; with POSIX ACLs
    Erofs,
    /// The oci-archive: file that was named, unpacked into memory at the boot
    OciArchive,
    /// The layers of the registry that was named, unpacked into memory at the
    /// boot
    Unpacked,
}

/// Places of what is written over the root of a slot that is one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keeps {
    /// Memory: a restart is the image again
    #[default]
    Ram,
    /// The data partition, apart for each slot and each image
    Data,
}

/// Origins of a live image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveSource {
    /// A file that is fetched over HTTP or HTTPS, and has this digest.
    Url {
        /// Address of the file.
        url: String,
        /// SHA-256 of its bytes.
        digest: Digest,
        /// Time at which its initramfs was made, in seconds since 1970. A certificate is never judged by an earlier one.
        made: u64,
    },
    /// A file like that for an initramfs of dracut, which fetches it and compares nothing (dracut.cmdline(7), "Booting live
    /// images").
    Livenet {
        /// Address of the file.
        url: String,
    },
    /// A repository of a registry.
    Registry {
        /// Registry host, with its port if one is given.
        host: String,
        /// Name of the repository there.
        repository: String,
        /// Digest of the image's manifest.
        digest: Digest,
        /// Tag that machines follow, and the names of keys, one of which must have signed what it names; `None` boots the
        /// image with this digest.
        follows: Option<(String, String)>,
        /// Reach the host without TLS.
        plain_http: bool,
        /// Login of the machine; `None` asks without one.
        login: Option<Login>,
        /// Time at which its initramfs was made, as for a file.
        made: u64,
    },
    /// A file on a partition.
    File {
        /// Partition identifier by which Linux finds the partition.
        partuuid: PartUuid,
        /// Filesystem of that partition.
        filesystem: Filesystem,
        /// Absolute path of the file on that partition.
        path: &'static str,
        /// SHA-256 of the file's bytes.
        digest: Digest,
        /// Hash at the root of the tree beside the file, by which the kernel compares its blocks (dm-verity); `None` if
        /// there is no tree.
        verity: Option<Digest>,
        /// Partition that keeps what is written, and its filesystem; `None` keeps it in memory, and forgets it.
        data: Option<(PartUuid, Filesystem)>,
    },
    /// The file `/image` in the initramfs, or appended to it by the boot loader.
    BesideInitramfs,
}

/// A login at a registry, which a machine has on a disk of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// File with it, as `DEVICE/PATH`.
    pub auth_on: String,
    /// Hosts of token services to which it may be sent.
    pub realms: Vec<String>,
}

/// Memory in bytes that a machine needs beside a root in one file to come up from it in RAM: kernel, initramfs, and a Debian
/// with systemd, which came up in 512 MiB with a file of 215 MiB.
const BESIDE: u64 = 288 << 20;

/// Returns the memory in bytes with which a machine comes up that holds `bytes` of images in RAM.
pub fn least_memory(bytes: u64) -> u64 {
    bytes.saturating_add(BESIDE).next_multiple_of(1 << 20)
}

/// Words with which dracut fetches a root, and lays memory over it (dracut.cmdline(7)).
const OF_LIVENET: [&str; 5] = ["rd.live.image", "rd.live.overlay.overlayfs=1", "ip=dhcp", "rd.neednet=1", "ro"];

impl From<Format> for LiveFormat {
    fn from(format: Format) -> LiveFormat {
        match format {
            Format::Squashfs => LiveFormat::Squashfs,
            Format::Erofs => LiveFormat::Erofs,
        }
    }
}

impl LiveFormat {
    /// Returns the name of the format in `flipslot.format=`.
    pub fn name(self) -> &'static str {
        match self {
            LiveFormat::Squashfs => "squashfs",
            LiveFormat::Erofs => "erofs",
            LiveFormat::OciArchive => "oci-archive",
            LiveFormat::Unpacked => "unpacked",
        }
    }

    /// Returns the name of the filesystem that the kernel mounts; `None` for files in memory.
    pub fn filesystem(self) -> Option<&'static str> {
        match self {
            LiveFormat::Squashfs | LiveFormat::Erofs => Some(self.name()),
            LiveFormat::OciArchive | LiveFormat::Unpacked => None,
        }
    }
}

impl RootOn {
    /// Returns the words of the kernel command line that lead to the root, `root=` first.
    ///
    /// PARTUUID needs no label and no udev, and is never the same on two disks. A partition is mounted `rw`
    /// because an image has no fstab that would remount its root.
    pub fn words(&self) -> Vec<String> {
        match self {
            RootOn::Partition { partuuid, filesystem } => {
                vec![format!("root=PARTUUID={partuuid}"), format!("rootfstype={filesystem}"), "rw".to_owned()]
            }
            RootOn::Live { from: LiveSource::Livenet { url }, .. } => {
                let root = format!("root=live:{url}");
                [root.as_str()].iter().chain(&OF_LIVENET).map(ToString::to_string).collect()
            }
            RootOn::Live { format, from } => {
                let source = match from {
                    LiveSource::Livenet { url } => url.clone(),
                    LiveSource::Url { url, digest, .. } => format!("{url}@{digest}"),
                    LiveSource::Registry { host, repository, follows: Some((tag, _)), .. } => {
                        format!("docker://{host}/{repository}:{tag}")
                    }
                    LiveSource::Registry { host, repository, digest, .. } => {
                        format!("docker://{host}/{repository}@{digest}")
                    }
                    LiveSource::File { partuuid, path, digest, .. } => format!("PARTUUID={partuuid}{path}@{digest}"),
                    LiveSource::BesideInitramfs => "/image".to_owned(),
                };
                let mut words = vec![format!("root=flipslot:{source}"), format!("flipslot.format={}", format.name())];
                if let LiveSource::Registry { follows: Some((_, keys)), .. } = from {
                    words.push(format!("{KEYS_KEY}{keys}"));
                }
                if let LiveSource::Registry { host, plain_http: true, .. } = from {
                    words.push(format!("flipslot.plain-http={host}"));
                }
                if let LiveSource::Registry { login: Some(Login { auth_on, realms }), .. } = from {
                    words.push(format!("{AUTH_KEY}{auth_on}"));
                    words.extend((!realms.is_empty()).then(|| format!("{REALMS_KEY}{}", realms.join(","))));
                }
                if let LiveSource::File { verity: Some(hash), .. } = from {
                    words.push(format!("{VERITY_KEY}{}", hash.hex()));
                }
                if let LiveSource::File { data: Some((data, _)), .. } = from {
                    words.push(format!("flipslot.overlay=data:PARTUUID={data}"));
                }
                words.push("ro".to_owned());
                words
            }
            RootOn::Ram => Vec::new(),
        }
    }

    /// Returns the kernel modules that mount the root: its own first, then those that a kernel may have beside
    /// it. Drivers of disks and network cards are not among them.
    pub fn modules(&self) -> Vec<&'static str> {
        match self {
            RootOn::Partition { filesystem, .. } => filesystem.modules(),
            RootOn::Live { format, from } => {
                // A layer of a host is a squashfs over files in memory, too.
                let mut modules = format.filesystem().map_or_else(Vec::new, |name| vec![name, "loop"]);
                modules.push("overlay");
                if format.filesystem().is_none() {
                    modules.extend(["squashfs", "loop"]);
                }
                if let LiveSource::Registry { login: Some(_), .. } = from {
                    // Which of them the disk has is known there.
                    modules.extend(Filesystem::value_variants().iter().flat_map(|filesystem| filesystem.modules()));
                }
                if let LiveSource::File { filesystem, data, .. } = from {
                    modules.extend(filesystem.modules());
                    modules.extend(["dm_mod", "dm_verity"]);
                    let of_data = data.map_or_else(Vec::new, |(_, filesystem)| filesystem.modules());
                    modules.extend(of_data.into_iter().filter(|_| data.is_some_and(|(_, kind)| kind != *filesystem)));
                }
                modules
            }
            RootOn::Ram => Vec::new(),
        }
    }

    /// Returns the kernel module that must be loaded before an initramfs looks for disks; `None` if there is none.
    pub fn early_module(&self) -> Option<&'static str> {
        let RootOn::Partition { filesystem, .. } = self else { return None };
        let kind = filesystem.kind();
        kind.early.then_some(kind.name)
    }

    /// Returns the modules of dracut that find such a root, besides those that every root needs
    /// (dracut.modules(7)).
    pub fn dracut_modules(&self) -> &'static [&'static str] {
        match self {
            RootOn::Partition { .. } => &["rootfs-block"],
            RootOn::Live { from: LiveSource::Url { .. } | LiveSource::Livenet { .. }, .. } => {
                &["dmsquash-live", "livenet"]
            }
            RootOn::Live { .. } => &["dmsquash-live"],
            RootOn::Ram => &[],
        }
    }

    /// Returns whether the root comes over the network, so that the initramfs needs the drivers of network
    /// cards.
    pub fn needs_network(&self) -> bool {
        let fetched = |from: &LiveSource| {
            matches!(from, LiveSource::Url { .. } | LiveSource::Livenet { .. } | LiveSource::Registry { .. })
        };
        matches!(self, RootOn::Live { from, .. } if fetched(from))
    }

    /// Returns whether dracut's own modules fetch and mount the root.
    pub fn is_livenet(&self) -> bool {
        matches!(self, RootOn::Live { from: LiveSource::Livenet { .. }, .. })
    }

    /// Returns the digest of an image that is fetched, as the command line names it; `None` for all others.
    pub fn fetched(&self) -> Option<&Digest> {
        match self {
            RootOn::Live { from: LiveSource::Url { digest, .. } | LiveSource::Registry { digest, .. }, .. } => {
                Some(digest)
            }
            _ => None,
        }
    }

    /// Returns the earliest time that a boot can have, in seconds since 1970; 0 if that does not matter or is not known.
    pub fn made(&self) -> u64 {
        match self {
            RootOn::Live { from: LiveSource::Url { made, .. } | LiveSource::Registry { made, .. }, .. } => *made,
            _ => 0,
        }
    }

    /// Returns whether the root, or the login with which it is fetched, is on a disk, so that the initramfs needs the
    /// drivers of disks.
    pub fn needs_disk(&self) -> bool {
        let is_read =
            |from: &LiveSource| matches!(from, LiveSource::File { .. } | LiveSource::Registry { login: Some(_), .. });
        match self {
            RootOn::Partition { .. } => true,
            RootOn::Live { from, .. } => is_read(from),
            RootOn::Ram => false,
        }
    }

    /// Returns the name of the filesystem that the kernel mounts as the root; `None` if it mounts none.
    pub fn filesystem_name(&self) -> Option<&'static str> {
        match self {
            RootOn::Partition { filesystem, .. } => Some(filesystem.kind().name),
            RootOn::Live { format, .. } => format.filesystem(),
            RootOn::Ram => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(data: Option<(PartUuid, Filesystem)>) -> LiveSource {
        let (partuuid, filesystem, digest) = (PartUuid::NONE, Filesystem::Ext4, Digest::of(b""));
        LiveSource::File { partuuid, filesystem, path: "/flipslot/root", digest, verity: None, data }
    }

    fn all() -> [RootOn; 5] {
        let live = |from| RootOn::Live { format: LiveFormat::Erofs, from };
        [
            RootOn::Partition { partuuid: PartUuid::NONE, filesystem: Filesystem::Xfs },
            live(LiveSource::Url { url: "https://srv/boot/root.erofs".to_owned(), digest: Digest::of(b""), made: 7 }),
            live(file(None)),
            live(LiveSource::BesideInitramfs),
            RootOn::Ram,
        ]
    }

    #[test]
    fn each_place_has_its_words() {
        let none = "00000000-0000-0000-0000-000000000000";
        let words = all().map(|on| on.words().join(" "));
        assert_eq!(words[0], format!("root=PARTUUID={none} rootfstype=xfs rw"));
        let digest = Digest::of(b"");
        assert_eq!(words[1], format!("root=flipslot:https://srv/boot/root.erofs@{digest} flipslot.format=erofs ro"));
        let slot = format!("root=flipslot:PARTUUID={none}/flipslot/root@{digest} flipslot.format=erofs");
        assert_eq!(words[2], format!("{slot} ro"));
        let keeps = RootOn::Live { format: LiveFormat::Erofs, from: file(Some((PartUuid::NONE, Filesystem::Xfs))) };
        assert!(["erofs", "loop", "overlay", "ext4", "xfs"].iter().all(|name| keeps.modules().contains(name)));
        assert_eq!(keeps.words().join(" "), format!("{slot} flipslot.overlay=data:PARTUUID={none} ro"));
        assert_eq!(words[3], "root=flipslot:/image flipslot.format=erofs ro");
        assert_eq!(words[4], "");
    }

    #[test]
    fn dracut_gets_the_words_that_its_own_modules_know() {
        let from = LiveSource::Livenet { url: "http://srv/root.squashfs".to_owned() };
        let on = RootOn::Live { format: LiveFormat::Squashfs, from };
        let words =
            "root=live:http://srv/root.squashfs rd.live.image rd.live.overlay.overlayfs=1 ip=dhcp rd.neednet=1 ro";
        assert_eq!(on.words().join(" "), words);
        assert!(on.needs_network() && on.is_livenet() && on.fetched().is_none());
    }

    #[test]
    fn a_registry_is_named_with_its_transport() {
        let (host, repository, digest) = ("srv:5000".to_owned(), "os/web".to_owned(), Digest::of(b""));
        let words = |plain_http, follows: Option<(&str, &str)>| {
            let follows = follows.map(|(tag, keys)| (tag.to_owned(), keys.to_owned()));
            let (host, repository, digest) = (host.clone(), repository.clone(), digest.clone());
            let from = LiveSource::Registry { host, repository, digest, follows, plain_http, login: None, made: 7 };
            let on = RootOn::Live { format: LiveFormat::Unpacked, from };
            assert!(on.needs_network() && on.made() == 7 && on.filesystem_name().is_none());
            on.words().join(" ")
        };
        let root = format!("root=flipslot:docker://srv:5000/os/web@{digest} flipslot.format=unpacked");
        assert_eq!(words(false, None), format!("{root} ro"));
        assert_eq!(words(true, None), format!("{root} flipslot.plain-http=srv:5000 ro"));
        let followed = "root=flipslot:docker://srv:5000/os/web:12 flipslot.format=unpacked flipslot.key=ops,new ro";
        assert_eq!(words(false, Some(("12", "ops,new"))), followed);
    }

    #[test]
    fn a_login_on_a_disk_needs_the_drivers_of_disks_and_the_filesystem_that_it_has() {
        let auth_on = "PARTLABEL=data/flipslot/auth.json".to_owned();
        let login = Some(Login { auth_on, realms: vec!["gitlab.shop".to_owned()] });
        let (host, repository, digest) = ("srv".to_owned(), "web".to_owned(), Digest::of(b""));
        let from = LiveSource::Registry { host, repository, digest, follows: None, plain_http: false, login, made: 7 };
        let on = RootOn::Live { format: LiveFormat::Unpacked, from };
        assert!(on.needs_disk() && on.needs_network());
        assert!(["ext4", "xfs", "btrfs"].iter().all(|name| on.modules().contains(name)), "{:?}", on.modules());
        let words = "flipslot.auth=PARTLABEL=data/flipslot/auth.json flipslot.auth-realm=gitlab.shop ro";
        assert!(on.words().join(" ").ends_with(words), "{:?}", on.words());
    }

    #[test]
    fn the_network_is_needed_for_what_comes_over_it_alone() {
        assert_eq!(all().map(|on| on.needs_network()), [false, true, false, false, false]);
        assert_eq!(all().map(|on| on.needs_disk()), [true, false, true, false, false]);
        assert_eq!(
            all().map(|on| on.filesystem_name()),
            [Some("xfs"), Some("erofs"), Some("erofs"), Some("erofs"), None]
        );
        assert_eq!(all().map(|on| on.made()), [0, 7, 0, 0, 0]);
        assert_eq!(all()[1].modules(), ["erofs", "loop", "overlay"]);
        assert_eq!(all()[0].modules()[0], "xfs");
        assert!(all()[1].dracut_modules().contains(&"livenet") && !all()[3].dracut_modules().contains(&"livenet"));
    }
}
