//! Every blob of an image, damaged in turn.

use crate::cli::images;
use crate::support::layout::Packing;
use crate::support::program::{assert_nothing_left, flipslot};
use std::fs;

/// A change to a blob.
type Damage = fn(&mut Vec<u8>);

const DAMAGES: [(&str, Damage); 4] = [
    ("a flipped bit in the middle", |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    }),
    ("a flipped bit at the end", |bytes| *bytes.last_mut().unwrap() ^= 0x80),
    ("a byte more", |bytes| bytes.push(0)),
    ("a byte less", |bytes| bytes.truncate(bytes.len() - 1)),
];

#[test]
fn every_blob_that_is_damaged_is_noticed_and_no_disk_appears() {
    for packing in [Packing::Gzip, Packing::Zstd] {
        let folder = tempfile::tempdir().unwrap();
        images::no_kernel_as(packing).write(&folder.path().join("image"), "1");
        let run = || flipslot(folder.path(), &["create", "d.raw", "--size=600MiB", "--slot=a=oci:image:1"]);
        run().must_end(1, &["it has no kernel"]);
        let blobs = fs::read_dir(folder.path().join("image/blobs/sha256")).unwrap();
        let blobs: Vec<_> = blobs.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(blobs.len(), 3, "a manifest, a config, a layer");
        for blob in blobs {
            let whole = fs::read(&blob).unwrap();
            for (name, damage) in DAMAGES {
                let mut bytes = whole.clone();
                damage(&mut bytes);
                fs::write(&blob, bytes).unwrap();
                let run = run();
                assert!(run.code != 0 && !run.stderr.contains("it has no kernel"), "{name}: {}", run.stderr);
                assert_nothing_left(folder.path(), &["image"]);
            }
            fs::write(&blob, whole).unwrap();
        }
    }
}
