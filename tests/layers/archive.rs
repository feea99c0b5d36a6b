//! Archives that are broken, cut short, or mean two things at once.

use super::{PLENTY, sandbox};
use crate::support::tar::{BLOCK, Item, LongNames, Tar, dir, fifo, file, number, odd, pax, record, symlink};
use std::io::{BufReader, Cursor, Seek};

/// Where a ustar header has its fields (tar(5)).
const UID: usize = 108;
const SIZE: usize = 124;
const MTIME: usize = 136;
const CHECKSUM: usize = 148;

fn refused(layer: Vec<u8>) -> String {
    sandbox().refusal_of(&[layer])
}

#[test]
fn a27_two_sizes_that_differ_are_refused() {
    let smuggled = Tar::of([file("smuggled", "inner")]);
    for pax_size in ["0", "512", "99999"] {
        let text = refused(Tar::of([file("outer", &smuggled).record("size", pax_size)]));
        assert!(text.contains("by the ustar header and") && text.contains("/outer"), "{text}");
    }
}

#[test]
fn a27_a_size_that_only_pax_says_is_the_size() {
    let slot = sandbox();
    let body = "x".repeat(700);
    let same = file("same", &body).record("size", "700");
    let only_pax = file("only-pax", &body).record("size", "700").claiming(0);
    let tree = slot.tree_of(&[Tar::of([same, only_pax, file("after", "")])]);
    assert_eq!(tree.names(), ["after", "only-pax", "same"]);
    assert_eq!(slot.read("only-pax"), body);
}

#[test]
fn a28_an_extended_header_without_its_entry_is_refused() {
    for kind in [b'x', b'L', b'K'] {
        let alone = Tar::default().add(odd(kind, "header", record("path", "name")));
        for layer in [alone.clone().finish(), alone.unfinished()] {
            assert!(refused(layer).contains("before its entry"));
        }
    }
}

#[test]
fn a28_of_two_extended_headers_before_one_entry_the_second_counts_alone_as_in_go() {
    let slot = sandbox();
    let layer = Tar::of([
        pax([record("path", "first"), record("mtime", "5")].concat()),
        pax([record("path", "second"), record("path", "third")].concat()),
        file("in-the-header", ""),
        file("after", ""),
    ]);
    let tree = slot.tree_of(&[layer]);
    assert_eq!(tree.names(), ["after", "third"]);
    assert_ne!(tree.at("third").mtime, (5, 0));
}

#[test]
fn a28_a_gnu_long_name_wins_over_pax_as_it_does_for_the_tools_that_build_images() {
    let slot = sandbox();
    let long = "g".repeat(150);
    let tree = slot.tree_of(&[Tar::of([file(&long, "").long_names(LongNames::Gnu).record("path", "from-pax")])]);
    assert_eq!(tree.names(), [long]);
}

#[test]
fn a28_global_headers_mean_nothing_and_large_ones_are_refused() {
    let slot = sandbox();
    let global = |size: usize| odd(b'g', "pax_global_header", record("path", "a".repeat(size)));
    assert_eq!(slot.tree_of(&[Tar::of([global(60_000), file("x", "")])]).names(), ["x"]);
    assert!(refused(Tar::of([global(1 << 20), file("x", "")])).contains("the limit is 1 MiB"));
    let many = (0..20).map(|_| global(60_000)).chain([file("x", "")]);
    assert!(refused(Tar::of(many)).contains("the limit is 1 MiB"));
}

#[test]
fn a28_malformed_records_are_refused() {
    for records in ["0 a=b\n", "99999999999999999999 a=b\n", "6 a=b", " a=b\n", "3 a\n", "-5 a=b\n", "8 path=x\n", "x"]
    {
        assert!(refused(Tar::of([pax(records), file("x", "")])).contains("malformed"), "{records:?}");
    }
}

#[test]
fn a31_sizes_and_owners_beyond_their_range_are_refused() {
    let overflow = [vec![0x80], vec![0xff; 11]].concat();
    let cases: [Item; 8] = [
        file("x", "").claiming(-1),
        file("x", "").claiming(-(1 << 70)),
        file("x", "").patch(SIZE, &overflow),
        file("x", "").patch(SIZE, "-0000000001\0"),
        file("x", "").record("size", "18446744073709551616"),
        file("x", "").owner(1 << 32, 0),
        file("x", "").owner(0, u64::from(u32::MAX)),
        file("x", "").record("uid", "9223372036854775808"),
    ];
    for case in cases {
        let slot = sandbox();
        slot.refusal_of(&[Tar::of([case])]);
        assert!(slot.tree().names().is_empty());
    }
    assert!(refused(Tar::of([file("x", "").patch(UID, number(-1, 8))])).contains("its owner is -1"));
}

#[test]
fn a31_the_largest_owner_that_linux_has_is_kept() {
    let last = u64::from(u32::MAX) - 1;
    let tree = sandbox()
        .tree_of(&[Tar::of([file("header", "").owner(last, last), file("pax", "").record("uid", last.to_string())])]);
    assert_eq!(
        (tree.at("header").uid, tree.at("header").gid, tree.at("pax").uid),
        (u32::MAX - 1, u32::MAX - 1, u32::MAX - 1)
    );
}

#[test]
fn a31_times_beyond_64_bits_are_refused() {
    let beyond = [
        file("x", "").patch(MTIME, number(1 << 63, 12)),
        file("x", "").patch(MTIME, number(-(1 << 63) - 1, 12)),
        file("x", "").record("mtime", "9223372036854775808"),
        file("x", "").record("mtime", "-9223372036854775809"),
    ];
    for case in beyond {
        assert!(refused(Tar::of([case])).contains("time"));
    }
}

#[test]
fn a31_the_first_and_the_last_time_are_what_the_filesystem_can_keep_of_them() {
    let slot = sandbox();
    slot.kept.take(); // memory keeps all of them
    let tree = slot.tree_of(&[Tar::of([
        file("first", "").patch(MTIME, number(-(1 << 63), 12)),
        file("last", "").patch(MTIME, number((1 << 63) - 1, 12)),
        file("old", "").mtime(-1_000_000, 250_000_000),
        file("old-header", "").patch(MTIME, number(-1_000_000, 12)),
    ])]);
    // ext4 with inodes of 256 bytes keeps 34 bits, other filesystems at least 31 (inode(7)).
    assert!(tree.at("first").mtime.0 <= -(1 << 31));
    assert!(tree.at("last").mtime.0 >= (1 << 31) - 1);
    assert_eq!((tree.at("old").mtime, tree.at("old-header").mtime), ((-1_000_000, 250_000_000), (-1_000_000, 0)));
}

#[test]
fn a32_a_wrong_checksum_is_refused() {
    let good = Tar::of([file("before", ""), file("x", "")]);
    for (offset, byte) in [(CHECKSUM, b'7'), (0, b'y'), (MTIME, b'7')] {
        let mut bad = good.clone();
        assert_ne!(bad[BLOCK + offset], byte);
        bad[BLOCK + offset] = byte;
        let text = refused(bad);
        assert!(text.contains("after /before") && text.contains("checksum"), "{text}");
    }
}

#[test]
fn a32_what_stands_after_the_end_is_read_to_its_end_but_means_nothing() {
    let end = Tar::of([file("x", "")]);
    for after in [&b"garbage"[..], &Tar::of([file("second-archive", "")]), &[0; 10_000], &[0xff; 100_000]] {
        let slot = sandbox();
        let mut layer = Cursor::new([&end[..], after].concat());
        slot.apply_within(&mut PLENTY.clone(), BufReader::new(&mut layer)).unwrap();
        assert_eq!(slot.tree().names(), ["x"]);
        assert_eq!(
            layer.stream_position().unwrap(),
            (end.len() + after.len()) as u64,
            "all of it counts in the digest"
        );
    }
}

#[test]
fn a32_an_archive_may_lack_its_end_blocks() {
    for end in [&[][..], &[0; BLOCK]] {
        let layer = Tar::default().add(file("x", "content")).raw(end).unfinished();
        assert_eq!(sandbox().tree_of(&[layer]).names(), ["x"]);
    }
    assert!(sandbox().tree_of(&[Vec::new()]).names().is_empty());
}

#[test]
fn a33_an_archive_cut_anywhere_within_an_entry_is_refused() {
    let long = "n".repeat(150);
    let whole = Tar::default().add(file(&long, "x".repeat(600))).unfinished();
    // PAX header and its record, file header, body of 600 bytes, padding to 1024.
    assert_eq!(whole.len(), 5 * BLOCK);
    for length in [1, 100, 511, 512, 513, 700, 1023, 1024, 1025, 1300, 1535, 1536, 1537, 2048, 2135, 2136, 2137, 2559] {
        let text = refused(whole[..length].to_vec());
        assert!(text.contains("the archive ends"), "{length}: {text}");
    }
    assert!(sandbox().apply(&[whole]).is_ok());
}

#[test]
fn types_that_are_no_part_of_an_image_are_refused_by_name() {
    for kind in [b's', b'D', b'M', b'V', b'N', b'Z', 0xff] {
        let text = refused(Tar::of([odd(kind, "some/thing", "")]));
        assert!(text.contains("/some/thing") && text.contains("is unknown"), "{text}");
    }
}

#[test]
fn a_body_that_only_a_file_can_have_is_not_skipped_for_other_types() {
    let slot = sandbox();
    // Directories, links and pipes of old tars have sizes that no content follows.
    let layer = [dir("d").claiming(4096), symlink("l", "d").claiming(7), fifo("p").claiming(1), file("after", "here")];
    assert_eq!(slot.tree_of(&[Tar::of(layer)]).names(), ["after", "d", "l", "p"]);
    assert_eq!(slot.read("after"), "here");
}
