//! btrfs in a slot: made with features that the slot's kernel and GRUB read, and checked afterwards.

use crate::error::{Result, usage};
use crate::filesystem::feature_table::{EVER, Feature, Has, NEVER, Words, incompat, ro_compat};
use crate::filesystem::mkfs::{MkfsOptions, New};
use crate::filesystem::properties::{GrowCommand, Growth, Kind, NewUuid, On, OnDevice, Superblock};
use crate::mount::vacant::Vacant;
use crate::tool::Tool;
use crate::words::units::{Bytes, MIB};
use anyhow::Context;
use std::path::Path;
use uuid::Uuid;

/// Properties and operations of btrfs.
pub const KIND: Kind = Kind {
    name: "btrfs",
    grub_module: "btrfs",
    // For its checksums, as for ext4; the others are in modules.softdep, the rest of what it needs (xor,
    // raid6_pq, zstd) in modules.dep.
    helpers: &["crc32c_generic", "crc32c_intel"],
    // As it loads, it measures how fast this processor computes parity, which takes longer than to find the
    // root's partition, and the first mount fails: "request_module fs-btrfs succeeded, but still no fs?"
    // (dracut issue 658).
    early: true,
    // Do not replay the log of what was fsynced since the last commit (btrfs(5), "rescue"): Linux 5.9 and
    // newer. The older option, `nologreplay`, is gone from Linux 6.18.
    as_grub_reads: c"rescue=nologreplay",
    features: &KNOWN,
    superblock_end: SUPERBLOCK + 0xc6,
    read_superblock,
    on: On::Device(OnDevice {
        programs: &[("mkfs.btrfs", "btrfs-progs"), ("btrfs", "btrfs-progs")],
        // Minimum of mkfs.btrfs 6.2 and 6.14 with duplicated metadata and nodes of 16 KiB, found by trial; 28 MiB
        // of it are left for files.
        smallest: Bytes(109 * MIB),
        // Do not discard unused space as the slot is written: Linux 6.2 and newer would do so by default
        // (btrfs(5), "discard").
        to_write: c"nodiscard",
        refuse_words,
        format,
        check,
        new_uuid: NewUuid {
            programs: &[("btrfs", "btrfs-progs"), ("btrfstune", "btrfs-progs")],
            // btrfstune needs no replay.
            waits_for_replay: |_| Ok(false),
            set: set_uuid,
        },
        growth: Growth::Mounted(GrowCommand { program: "btrfs", words: &["filesystem", "resize", "max"] }),
    }),
};

/// Hint where the programs are missing.
const HINT: &str = "install btrfs-progs (apt-get install btrfs-progs)";

/// Features that are on, of all that mkfs.btrfs can turn on. Everything else that it knows is off, whatever
/// its defaults: an older GRUB or kernel would not read what a newer program adds. Linux 4.9 or newer reads
/// this, and so does every GRUB with btrfs. Sources: mkfs.btrfs(8), "FILESYSTEM FEATURES"; GRUB's
/// `grub-core/fs/btrfs.c`. The versions of each are in `KNOWN`. Off, although on by default
/// somewhere: `no-holes`, since 5.15, because GRUB before 2.12 then reads no file with a hole;
/// `block-group-tree`, which Linux before 6.1 mounts read-only.
const FEATURES: [&str; 3] = ["extref", "skinny-metadata", FREE_SPACE_TREE];
const FREE_SPACE_TREE: &str = "free-space-tree";

/// Options of mkfs.btrfs(8) that a user may give and that take a value.
const VALUED: [&str; 15] = [
    "-O",
    "--features",
    "-R",
    "--runtime-features",
    "-n",
    "--nodesize",
    "-s",
    "--sectorsize",
    "-m",
    "--metadata",
    "-d",
    "--data",
    "--csum",
    "--checksum",
    "--device-uuid",
];
/// Options of mkfs.btrfs(8) that a user may give and that take no value.
const PLAIN: [&str; 8] = ["-M", "--mixed", "-K", "--nodiscard", "-f", "--force", "-q", "--quiet"];

/// Refuses options that do more than say how the filesystem on the slot's device is made. A word that belongs
/// to no option would be another device, and be overwritten.
fn refuse_words(options: &MkfsOptions) -> Result<()> {
    let mut words = options.words();
    while let Some(word) = words.next() {
        let is_known = match word.split_once('=') {
            _ if PLAIN.contains(&word) => true,
            _ if VALUED.contains(&word) => words.next().is_some_and(|value| !value.starts_with('-')),
            Some((option, _)) if option.starts_with("--") => VALUED.contains(&option),
            // An option letter and its value in one word.
            _ => word.split_at_checked(2).is_some_and(|(option, _)| VALUED.contains(&option)),
        };
        if !is_known {
            let found = format!(
                "--mkfs-options contains '{}', which is not allowed for a slot with btrfs",
                word.escape_debug()
            );
            let known = [&VALUED[..], &PLAIN].concat().join(" ");
            return Err(usage(found, format!("omit it; these are allowed: {known}")));
        }
    }
    Ok(())
}

/// Makes a btrfs filesystem over all of `partition`. Of two options, and of two words about one feature, the
/// last one counts: the user's come after ours, but label and UUID come last.
fn format(partition: &Vacant, new: &New) -> Result<()> {
    let (known, runtime) = (names("-O")?, names("-R").unwrap_or_default());
    // A free-space-tree is made valid, which is a feature with a bit of its own.
    let knows = |name: &str| {
        new.may_have(&KNOWN, name) && (name != FREE_SPACE_TREE || new.may_have(&KNOWN, "free-space-tree-valid"))
    };
    let ours: Vec<&str> = FEATURES.into_iter().filter(|name| knows(name)).collect();
    Tool::new("mkfs.btrfs")
        .arg("-q")
        // The caller decides about what is there now: it has refused what must be kept.
        .arg("-f")
        // No discard: useless on a file; on a disk, the caller has decided.
        .arg("-K")
        // Mounted by every x86-64 kernel: its page has this size.
        .args(["-s", "4096"])
        // The default since 3.12; larger nodes leave less of a small slot.
        .args(["-n", "16384"])
        // Duplicated, whatever the disk is: before 5.15 mkfs.btrfs did not on what it took for an SSD. One
        // unreadable block would cost the entire slot; and a slot is the way back.
        .args(["-m", "dup"])
        .args(["-d", "single"])
        .args(lists(&known, &runtime, &ours))
        .args(new.options.words())
        .args(["-L", new.label])
        .args(["-U", &new.uuid.to_string()])
        .arg(partition.path())
        .hint(HINT)
        .run()
        .map(drop)
        .context("making a btrfs filesystem")
}

/// Returns the features that mkfs.btrfs knows for `option`: since 6.3 all are under `-O`, and `-R` repeats
/// some of them. It prints them to standard error.
fn names(option: &str) -> Result<Vec<String>> {
    let printed = Tool::new("mkfs.btrfs").args([option, "list-all"]).hint(HINT).run();
    let printed = printed.context("asking mkfs.btrfs for the features that it knows")?;
    // "no-holes            - no explicit hole extents for files (compat=3.14, safe=4.0, default=5.15)"
    let name = |line: &str| Some(line.split_once(" - ")?.0.trim().to_owned());
    Ok(printed.stderr.lines().chain(printed.stdout.lines()).filter_map(name).collect())
}

/// Builds the options that turn on `features` and turn off all others. Off comes first: some have two names.
fn lists(known: &[String], runtime: &[String], features: &[&str]) -> Vec<String> {
    let list = |names: &[&String]| {
        let (ours, others): (Vec<&str>, Vec<&str>) =
            names.iter().map(|name| name.as_str()).partition(|name| features.contains(name));
        others.iter().map(|name| format!("^{name}")).chain(ours.iter().map(ToString::to_string)).collect::<Vec<_>>()
    };
    let alone: Vec<&String> = runtime.iter().filter(|name| !known.contains(name)).collect();
    let lists = [("-O", list(&known.iter().collect::<Vec<_>>())), ("-R", list(&alone))];
    let given = lists.into_iter().filter(|(_, list)| !list.is_empty());
    given.flat_map(|(option, list)| [option.to_owned(), list.join(",")]).collect()
}

/// Checks the filesystem on `device`, which is not mounted, and changes nothing.
fn check(device: &Path) -> Result<()> {
    Tool::new("btrfs")
        .args(["check", "--readonly"])
        .arg(device)
        .hint(HINT)
        .run()
        .map(drop)
        .context("checking the btrfs filesystem")
}

/// Gives the filesystem on `device` a UUID. It is in every block of metadata; written there (-U), it demands nothing
/// of a reader.
fn set_uuid(device: &Path, uuid: Uuid) -> Result<()> {
    let set = Tool::new("btrfstune").args(["-f", "-U", &uuid.to_string()]).arg(device);
    set.run().map(drop).context("giving the btrfs filesystem a UUID of its own")
}

/// Offset of the superblock, in bytes (fs/btrfs/fs.h, BTRFS_SUPER_INFO_OFFSET).
const SUPERBLOCK: usize = 0x1_0000;

/// Reads `struct btrfs_super_block` at 64 KiB (include/uapi/linux/btrfs_tree.h): fsid at 0x20, magic at 0x40,
/// compat_flags at 0xac, compat_ro_flags at 0xb4, incompat_flags at 0xbc, csum_type at 0xc4, little-endian.
fn read_superblock(bytes: &[u8]) -> Option<Superblock> {
    /// Magic number, BTRFS_MAGIC (fs/btrfs/fs.h).
    const MAGIC: &[u8] = b"_BHRfS_M";
    let superblock = bytes.get(SUPERBLOCK..KIND.superblock_end)?;
    if &superblock[0x40..0x48] != MAGIC {
        return None;
    }
    let word = |at: usize| superblock[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let words = Words { compat: word(0xac)?, ro_compat: word(0xb4)?, incompat: word(0xbc)? };
    let mut features = words.features(&KNOWN);
    let checksum = superblock[0xc4..0xc6].try_into().map(u16::from_le_bytes).ok()?;
    features.push(match CHECKSUMS.get(usize::from(checksum)) {
        Some(feature) => Has::known(feature),
        None => Has::unknown(format!("checksum {checksum}"), EVER),
    });
    Some(Superblock { uuid: Uuid::from_slice(&superblock[0x20..0x30]).ok()?, features })
}

/// Features of btrfs; each of its words has 64 bits. The bits are those of Linux 6.15, `include/uapi/linux/btrfs.h`
/// (`BTRFS_FEATURE_*`), the kernels what mkfs.btrfs 6.14 prints for `-O list-all` ("compat=").
/// `grub-core/fs/btrfs.c` checks no bit, and fails only as it reads.
const KNOWN: [Feature; 20] = [
    ro_compat("free-space-tree", 0x1, (4, 5)),
    // Without it the tree is built again: 4.5 wrote it in another byte order.
    ro_compat("free-space-tree-valid", 0x2, (4, 9)),
    ro_compat("verity", 0x4, (5, 15)),
    ro_compat("block-group-tree", 0x8, (6, 1)),
    incompat("mixed-backref", 0x1, EVER, EVER),
    // GRUB reads files outside the default subvolume, which is where a flash writes them.
    incompat("default-subvol", 0x2, EVER, EVER),
    incompat("mixed-bg", 0x4, EVER, EVER),
    incompat("compress-lzo", 0x8, EVER, EVER),
    // GRUB 2.04 was the first with zstd.
    incompat("compress-zstd", 0x10, (4, 14), (2, 4)),
    incompat("big-metadata", 0x20, EVER, EVER),
    incompat("extref", 0x40, (3, 7), EVER),
    // GRUB 2.04 (its NEWS).
    incompat("raid56", 0x80, (3, 9), (2, 4)),
    incompat("skinny-metadata", 0x100, (3, 10), EVER),
    // Only files with holes are not read: "extent not found". GRUB 7f4e017a1416.
    incompat("no-holes", 0x200, (3, 14), (2, 12)),
    incompat("metadata-uuid", 0x400, (5, 0), EVER),
    // GRUB_BTRFS_CHUNK_TYPE_RAID1C3 and C4 are in 2.06.
    incompat("raid1c34", 0x800, (5, 5), (2, 6)),
    // A disk with real zones, which a slot does not have, keeps its superblock elsewhere.
    incompat("zoned", 0x1000, (5, 12), EVER),
    // These two exist only in experimental kernels; files are elsewhere than where GRUB looks.
    incompat("extent-tree-v2", 0x2000, NEVER, NEVER),
    incompat("raid-stripe-tree", 0x4000, NEVER, NEVER),
    incompat("squota", 0x1_0000, (6, 7), EVER),
];

/// Checksums of btrfs by number (`enum btrfs_csum_type`, include/uapi/linux/btrfs_tree.h). GRUB verifies
/// none of them.
const CHECKSUMS: [Feature; 4] = [
    incompat("crc32c", 0, EVER, EVER),
    incompat("xxhash64", 1, (5, 5), EVER),
    incompat("sha256", 2, (5, 5), EVER),
    incompat("blake2b", 3, (5, 5), EVER),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn line(known: &[&str], runtime: &[&str]) -> String {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        lists(&owned(known), &owned(runtime), &FEATURES).join(" ")
    }

    #[test]
    fn what_a_program_knows_and_is_not_ours_is_turned_off() {
        // 5.10, 6.2 and 6.14, in part.
        assert_eq!(
            line(&["extref", "skinny-metadata", "no-holes"], &["quota"]),
            "-O ^no-holes,extref,skinny-metadata -R ^quota"
        );
        assert_eq!(
            line(&["extref", "zoned"], &["quota", "free-space-tree"]),
            "-O ^zoned,extref -R ^quota,free-space-tree"
        );
        assert_eq!(
            line(&["quota", "fst", "free-space-tree", "bgt", "of-tomorrow"], &["quota", "free-space-tree"]),
            "-O ^quota,^fst,^bgt,^of-tomorrow,free-space-tree",
            "an alias of one of our features comes before it"
        );
        assert_eq!(line(&[], &[]), "");
    }

    #[test]
    fn words_that_name_another_device_or_a_folder_are_refused() {
        for good in
            ["", "-O no-holes,^extref -n 32768", "-Ono-holes -K", "--csum=xxhash --nodesize 4096 -M", "-m single"]
        {
            refuse_words(&good.parse().unwrap()).unwrap_or_else(|error| panic!("{good}: {error}"));
        }
        for odd in [
            "-K sda",
            "-n 4096 sda",
            "-On sda",
            "--csum=xxhash sda",
            "-r etc",
            "--rootdir=etc",
            "-Kr etc",
            "-n",
            "--nodes=1",
            "-n -K",
            "-b 1g",
            "-U 1",
            "-=x",
            "-",
            "--",
            "-K=1",
        ] {
            let Ok(options) = odd.parse::<MkfsOptions>() else { continue };
            let error = refuse_words(&options).expect_err(odd);
            assert_eq!(crate::error::kind(&error), crate::error::Kind::Usage, "{odd}");
        }
    }
}
