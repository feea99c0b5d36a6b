//! btrfs in a slot: made with features that the slot's kernel and GRUB read, and checked afterwards.

use crate::error::{Result, usage};
use crate::filesystem::feature_table::BTRFS;
use crate::filesystem::kind::{Kind, MkfsOptions, New};
use crate::tool::Tool;
use crate::words::units::{Bytes, MIB};
use anyhow::Context;
use std::path::Path;

/// Properties and operations of btrfs.
pub const KIND: Kind = Kind {
    name: "btrfs",
    // Do not discard unused space as the slot is written: Linux 6.2 and newer would do so by default
    // (btrfs(5), "discard").
    to_write: c"nodiscard",
    // Do not replay the log of what was fsynced since the last commit (btrfs(5), "rescue"): Linux 5.9 and
    // newer. The older option, `nologreplay`, is no longer in Linux 6.18.
    as_grub_reads: c"rescue=nologreplay",
    programs: &[("mkfs.btrfs", "btrfs-progs"), ("btrfs", "btrfs-progs")],
    // For its checksums, as for ext4; the others are in modules.softdep, the rest of what it needs (xor,
    // raid6_pq, zstd) in modules.dep.
    helpers: &["crc32c_generic", "crc32c_intel"],
    // As it loads, it measures how fast this processor computes parity, which takes longer than to find the
    // root's partition, and the first mount fails: "request_module fs-btrfs succeeded, but still no fs?"
    // (dracut issue 658).
    early: true,
    // Minimum of mkfs.btrfs 6.2 and 6.14 with duplicated metadata and nodes of 16 KiB, found by trial; 28 MiB
    // of it are left for files.
    smallest: Bytes(109 * MIB),
    refuse_words,
    format,
    check,
};

/// Hint where the programs are missing.
const HINT: &str = "install btrfs-progs (apt-get install btrfs-progs)";

/// Features that are on, of all that mkfs.btrfs can turn on. Everything else that it knows is off, whatever
/// its defaults: an older GRUB or kernel would not read what a newer program adds. Linux 4.9 or newer reads
/// this, and so does every GRUB with btrfs. Sources: mkfs.btrfs(8), "FILESYSTEM FEATURES"; GRUB's
/// `grub-core/fs/btrfs.c`. The versions of each are in `feature_table.rs`. Off, although on by default
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

/// Makes a btrfs filesystem over all of `device`. Of two options, and of two words about one feature, the
/// last one counts: the user's come after ours, but label and UUID come last.
fn format(device: &Path, new: &New) -> Result<()> {
    let (known, runtime) = (names("-O")?, names("-R").unwrap_or_default());
    // A free-space-tree is made valid, which is a feature with a bit of its own.
    let knows = |name: &str| {
        new.may_have(&BTRFS, name) && (name != FREE_SPACE_TREE || new.may_have(&BTRFS, "free-space-tree-valid"))
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
        .arg(device)
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
