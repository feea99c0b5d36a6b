//! XFS in a slot: made with features that the slot's kernel and GRUB read, and checked afterwards.

use crate::error::{Result, failed};
use crate::filesystem::feature_table::{EVER, Feature, Has, KernelOption, NEVER, Version, Words, incompat, ro_compat};
use crate::filesystem::mkfs::New;
use crate::filesystem::properties::{GrowCommand, Growth, Kind, NewUuid, On, OnDevice, Superblock};
use crate::mount::vacant::Vacant;
use crate::tool::Tool;
use crate::words::units::{Bytes, MIB};
use anyhow::Context;
use std::path::Path;
use uuid::Uuid;

/// Properties and operations of XFS.
pub const KIND: Kind = Kind {
    name: "xfs",
    grub_module: "xfs",
    // For its checksums, as for ext4; the rest of what it needs is in modules.dep.
    helpers: &["crc32c_generic", "crc32c_intel"],
    early: false,
    // - norecovery: mount without running log recovery (xfs(5)).
    // - nouuid: a second disk in the machine may be a copy of this one, with the same UUID, and mounted; for
    //   reading, that is harmless.
    as_grub_reads: c"norecovery,nouuid",
    features: &KNOWN,
    superblock_end: 220,
    read_superblock,
    on: On::Device(OnDevice {
        programs: &[("mkfs.xfs", "xfsprogs"), ("xfs_repair", "xfsprogs")],
        // mkfs.xfs(8), "-d size": the data section must be at least 300MB in size.
        smallest: Bytes(300 * MIB),
        to_write: c"",
        refuse_words: |_| Ok(()),
        format,
        check,
        new_uuid: NewUuid {
            programs: &[("xfs_admin", "xfsprogs"), ("xfs_repair", "xfsprogs"), ("xfs_logprint", "xfsprogs")],
            waits_for_replay,
            set: set_uuid,
        },
        growth: Growth::Mounted(GrowCommand { program: "xfs_growfs", words: &[] }),
    }),
};

/// Hint where the programs are missing.
const HINT: &str = "install xfsprogs (apt-get install xfsprogs)";

/// Longest label (mkfs.xfs(8), "-L"), in bytes.
const LABEL_MAX: usize = 12;

/// An option of mkfs.xfs that is given whatever its default is, because defaults differ between versions and
/// distributions.
struct Pinned {
    /// Option letter, which is the group of the key.
    group: &'static str,
    key: &'static str,
    value: &'static str,
    /// First version of xfsprogs that knows the key; an older one refuses it, and does not turn on the
    /// feature either.
    since: Version,
}

const fn pinned(group: &'static str, key: &'static str, value: &'static str, since: Version) -> Pinned {
    Pinned { group, key, value, since }
}

/// First version of xfsprogs that can be met: the oldest that makes a filesystem of version 5 by default.
const OLDEST: Version = (3, 2);

/// The complete format: that of Linux 4.9 or newer, which GRUB 2.04 or newer reads; for an older kernel that
/// is known, without what it does not know. Sources: mkfs.xfs(8); the `lts_*.conf` in
/// /usr/share/xfsprogs/mkfs, which say what each long-term kernel was released with;
/// `fs/xfs/libxfs/xfs_format.h`; GRUB's `grub-core/fs/xfs.c` (XFS_SB_FEAT_INCOMPAT_SUPPORTED). The versions
/// of each feature are in `KNOWN`.
const FORMAT: [Pinned; 15] = [
    // Not larger than the smallest page: otherwise Linux before 6.12 does not mount it.
    pinned("-b", "size", "4096", OLDEST),
    // The unit in which a modern disk writes, whatever sector size it reports; disks with either size mount
    // it. By default, mkfs.xfs takes the sector size of this machine's disk, on which the slot may only be
    // made.
    pinned("-s", "size", "4096", OLDEST),
    // Version 5: checksums, and the UUID in every block. Support for version 4 ends by 2030 (mkfs.xfs(8)).
    pinned("-m", "crc", "1", OLDEST),
    pinned("-m", "finobt", "1", OLDEST),
    // Off, as it always was: it takes room in every slot for repairs, and a new flash is better than a
    // repair.
    pinned("-m", "rmapbt", "0", (4, 8)),
    // Stable since 4.16, and the reason to choose XFS: `cp --reflink`, containers.
    pinned("-m", "reflink", "1", (4, 9)),
    // Linux before 5.10 does not mount it. The price: times after 2038 become 2038.
    pinned("-m", "bigtime", "0", (5, 10)),
    // Linux before 5.10 mounts it read-only.
    pinned("-m", "inobtcount", "0", (5, 10)),
    // Linux before 6.13 does not mount it, GRUB before 2.14 does not read it.
    pinned("-m", "metadir", "0", (6, 13)),
    // The smallest of version 5, and the default.
    pinned("-i", "size", "512", OLDEST),
    // Inodes also where free space is fragmented; GRUB since 2.04.
    pinned("-i", "sparse", "1", (4, 2)),
    // On by default since xfsprogs 6.5. Linux before 5.19 does not mount it, GRUB before 2.12 does
    // not read it.
    pinned("-i", "nrext64", "0", (5, 19)),
    // Linux before 6.10 does not mount them, GRUB before 2.14 does not read them.
    pinned("-i", "exchange", "0", (6, 10)),
    pinned("-n", "parent", "0", (6, 10)),
    // No alignment to the stripes of this machine's disk.
    pinned("-d", "noalign", "", OLDEST),
];

/// Option letters of mkfs.xfs(8) that take a list of keys.
const GROUPS: [&str; 8] = ["-b", "-s", "-m", "-i", "-n", "-d", "-l", "-r"];

/// Makes an XFS filesystem over all of `partition`. The user's value for a key replaces the pinned one: mkfs.xfs
/// refuses a key that is given twice.
fn format(partition: &Vacant, new: &New) -> Result<()> {
    if new.label.len() > LABEL_MAX {
        return Err(failed(format!("the label '{}' has more than {LABEL_MAX} bytes", new.label), ""));
    }
    let printed = Tool::new("mkfs.xfs").arg("-V").hint(HINT).run().context("asking mkfs.xfs for its version")?;
    let (words, given) = new.options.without(&GROUPS);
    let known = |key: &str| new.may_have(&KNOWN, key);
    let lists = lists(version(&printed.stdout), &known, &given, &format!("uuid={}", new.uuid));
    Tool::new("mkfs.xfs")
        .arg("-q")
        // The caller decides about what is there now: it has refused what must be kept.
        .arg("-f")
        // No discard: useless on a file; on a disk, the caller has decided.
        .arg("-K")
        .args(["-L", new.label])
        .args(lists.iter().flat_map(|(group, list)| [*group, list.as_str()]))
        .args(words)
        .arg(partition.path())
        .hint(HINT)
        .run()
        .map(drop)
        .context("making an XFS filesystem")
}

/// Parses the version that `mkfs.xfs -V` prints ("mkfs.xfs version 6.1.0"). One that cannot be read counts as
/// new: an old program itself refuses an option that it does not know, and makes nothing.
fn version(printed: &str) -> Version {
    let newest = (u32::MAX, 0);
    let Some(version) = printed.split_whitespace().next_back() else { return newest };
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    numbers.next().zip(numbers.next()).unwrap_or(newest)
}

/// Builds one list for each group: the pinned keys, as far as this version knows them and the user does not
/// give them, turned off where the slot's kernel does not know them; the UUID; and the user's keys.
fn lists(
    version: Version,
    known_to_kernel: &dyn Fn(&str) -> bool,
    given: &[(&str, &str)],
    uuid: &str,
) -> Vec<(&'static str, String)> {
    let is_given = |pinned: &Pinned| {
        let keys = |list: &str| list.split(',').any(|item| item.split('=').next() == Some(pinned.key));
        given.iter().any(|(group, list)| *group == pinned.group && keys(list))
    };
    let known = |pinned: &&Pinned| version >= pinned.since && !is_given(pinned);
    let of_group = |group: &'static str| {
        let ours = FORMAT.iter().filter(known).filter(move |pinned| pinned.group == group);
        let ours = ours.map(|Pinned { key, value, .. }| match *value {
            "" => (*key).to_owned(),
            "1" if !known_to_kernel(key) => format!("{key}=0"),
            value => format!("{key}={value}"),
        });
        let theirs = given.iter().filter(move |(of, _)| *of == group).map(|(_, list)| (*list).to_owned());
        let uuid = (group == "-m").then(|| uuid.to_owned());
        ours.chain(uuid).chain(theirs).collect::<Vec<_>>().join(",")
    };
    GROUPS.into_iter().map(|group| (group, of_group(group))).filter(|(_, list)| !list.is_empty()).collect()
}

/// Checks the filesystem on `device`, which is not mounted, and changes nothing.
fn check(device: &Path) -> Result<()> {
    Tool::new("xfs_repair").arg("-n").arg(device).hint(HINT).run().map(drop).context("checking the XFS filesystem")
}

/// Returns whether the log on `device` must be replayed before a UUID is set, which only the kernel does.
fn waits_for_replay(device: &Path) -> Result<bool> {
    let log =
        Tool::new("xfs_logprint").arg("-t").arg(device).run().context("looking at the log of the XFS filesystem")?;
    // A dirty log prints its content after its state, and that may be long; a clean one ends with its state.
    Ok(!log.stdout.contains("<CLEAN>"))
}

/// Gives the filesystem on `device` a UUID.
fn set_uuid(device: &Path, uuid: Uuid) -> Result<()> {
    let set = Tool::new("xfs_admin").args(["-U", &uuid.to_string()]).arg(device);
    let set = set.hint("mount the golden disk's slot once, and unmount it: its log is replayed then");
    set.run().map(drop).context("giving the XFS filesystem a UUID of its own")
}

/// Reads `struct xfs_dsb` at byte 0 (fs/xfs/libxfs/xfs_format.h): sb_uuid at 32, sb_versionnum at 100,
/// sb_features_compat at 208, sb_features_ro_compat at 212, sb_features_incompat at 216, big-endian.
fn read_superblock(bytes: &[u8]) -> Option<Superblock> {
    /// Mask of the version number, XFS_SB_VERSION_NUMBITS.
    const NUMBER: u16 = 0xf;
    if !bytes.starts_with(b"XFSB") {
        return None;
    }
    let bits = bytes.get(100..102)?.try_into().map(u16::from_be_bytes).ok()?;
    let word = |at: usize| bytes.get(at..at + 4)?.try_into().map(u32::from_be_bytes).map(u64::from).ok();
    let is_ci = u64::from(bits) & V4_CI.bit != 0;
    let features = match bits & NUMBER {
        5 => {
            let words = Words { compat: word(208)?, ro_compat: word(212)?, incompat: word(216)? };
            [vec![Has::known(&V5)], words.features(&KNOWN)].concat()
        }
        4 if is_ci => vec![Has::known(&V4), Has::known(&V4_CI)],
        4 => vec![Has::known(&V4)],
        other => vec![Has::unknown(format!("version {other}"), NEVER)],
    };
    Some(Superblock { uuid: Uuid::from_slice(bytes.get(32..48)?).ok()?, features })
}

/// Features of XFS, version 5. The bits are those of Linux 6.15, `fs/xfs/libxfs/xfs_format.h` (`XFS_SB_FEAT_*`),
/// the GRUBs those of `XFS_SB_FEAT_INCOMPAT_SUPPORTED` in `grub-core/fs/xfs.c`.
const KNOWN: [Feature; 15] = [
    ro_compat("finobt", 0x1, (3, 16)),
    ro_compat("rmapbt", 0x2, (4, 8)),
    ro_compat("reflink", 0x4, (4, 9)),
    ro_compat("inobtcount", 0x8, (5, 10)),
    incompat("ftype", 0x1, EVER, EVER),
    // GRUB cda0a857dd7a.
    incompat("sparse", 0x2, (4, 2), (2, 4)),
    // GRUB 2.02.
    incompat("meta_uuid", 0x4, (4, 3), EVER),
    // GRUB 8b1e5d1936ff, in 2.06: Debian's 2.06-1 had to fix what it broke (see `V4`).
    incompat("bigtime", 0x8, (5, 10), (2, 6)),
    // Set by xfs_repair or xfs_admin until their work is done; no kernel mounts it.
    incompat("needsrepair", 0x10, NEVER, (2, 12)),
    // GRUB aa7c1322671e.
    incompat("nrext64", 0x20, (5, 19), (2, 12)),
    incompat("exchange", 0x40, (6, 10), (2, 14)),
    incompat("parent", 0x80, (6, 10), (2, 14)),
    incompat("metadir", 0x100, (6, 13), (2, 14)),
    incompat("zoned", 0x200, (6, 15), NEVER),
    incompat("zone_gaps", 0x400, (6, 15), NEVER),
];

/// XFS, version 5 (`crc=1`): no longer experimental since Linux 3.15; GRUB 2.02.
const V5: Feature = incompat("crc", 0, (3, 15), EVER);

/// XFS, version 4 (`crc=0`): GRUB 2.06 reads beyond its directories (fixed by a4b495520e4d). The kernel's option is
/// in fs/xfs/Kconfig.
const V4: Feature = Feature {
    option: Some(KernelOption { name: "CONFIG_XFS_SUPPORT_V4", since: (5, 9) }),
    ..incompat("crc=0", 0, EVER, (2, 12))
};

/// XFS, version 4, with names in which case does not matter (`version=ci`, XFS_SB_VERSION_BORGBIT); GRUB
/// refuses the bit only in a superblock of version 4.
const V4_CI: Feature = incompat("version=ci", 0x4000, EVER, NEVER);

#[cfg(test)]
mod tests {
    use super::*;

    fn line(version: Version, given: &[(&str, &str)]) -> String {
        line_for(version, &|_| true, given)
    }

    fn line_for(version: Version, known: &dyn Fn(&str) -> bool, given: &[(&str, &str)]) -> String {
        let lists = lists(version, known, given, "uuid=U");
        lists.iter().map(|(group, list)| format!("{group} {list}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_option_is_given_to_the_versions_that_know_it() {
        assert_eq!(
            line((5, 0), &[]),
            "-b size=4096 -s size=4096 -m crc=1,finobt=1,rmapbt=0,reflink=1,uuid=U -i size=512,sparse=1 -d noalign"
        );
        assert_eq!(
            line((6, 1), &[]),
            "-b size=4096 -s size=4096 -m crc=1,finobt=1,rmapbt=0,reflink=1,bigtime=0,inobtcount=0,uuid=U \
             -i size=512,sparse=1,nrext64=0 -d noalign"
        );
        assert_eq!(
            line((6, 13), &[]),
            "-b size=4096 -s size=4096 \
             -m crc=1,finobt=1,rmapbt=0,reflink=1,bigtime=0,inobtcount=0,metadir=0,uuid=U \
             -i size=512,sparse=1,nrext64=0,exchange=0 -n parent=0 -d noalign"
        );
    }

    #[test]
    fn what_the_slots_kernel_does_not_know_is_off() {
        let line = line_for((5, 0), &|key| key != "reflink" && key != "sparse", &[]);
        assert!(line.contains("crc=1,finobt=1,rmapbt=0,reflink=0,uuid=U -i size=512,sparse=0 "), "{line}");
    }

    #[test]
    fn what_the_user_gives_for_a_key_replaces_what_is_pinned() {
        let line = line((6, 1), &[("-i", "nrext64=1,maxpct=5"), ("-d", "agcount=8"), ("-m", "bigtime=1")]);
        assert!(line.contains("-i size=512,sparse=1,nrext64=1,maxpct=5 "), "{line}");
        assert!(line.contains("uuid=U,bigtime=1 ") && !line.contains("bigtime=0"), "{line}");
        assert!(line.ends_with("-d noalign,agcount=8"), "{line}");
    }

    #[test]
    fn the_version_is_read_and_an_odd_one_is_a_new_one() {
        assert_eq!(version("mkfs.xfs version 6.1.0\n"), (6, 1));
        assert_eq!(version("mkfs.xfs version 6.10\n"), (6, 10));
        for odd in ["", "mkfs.xfs", "mkfs.xfs version 7", "mkfs.xfs version x.1"] {
            assert_eq!(version(odd), (u32::MAX, 0), "{odd}");
        }
    }
}
