//! Random images as one file, mounted by this machine's kernel: entry by entry what umoci unpacks.

use crate::image::written::Mounted;
use crate::layers::umoci::unpack_with_umoci;
use crate::layers::umoci_random::image;
use crate::support::layout::{ImageLayout, Packing};
use crate::support::program::{flipslot, tool};
use crate::support::tar::Tar;
use crate::support::tree::{Node, Tree};

/// How many images are made, from the seeds 1 to this.
const IMAGES: u64 = 20;

#[test]
fn random_images_are_the_same_in_a_file() {
    assert_same(1, IMAGES);
}

#[test]
#[ignore = "a thousand images: make test-all"]
fn a_thousand_random_images_are_the_same_in_a_file() {
    assert_same(IMAGES + 1, IMAGES + 1000);
}

fn assert_same(first: u64, last: u64) {
    let (mut refused, mut compared) = (0, 0);
    for seed in first..=last {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let layers: Vec<_> = image(seed).into_iter().map(|layer| (Packing::Plain, Tar::of(layer))).collect();
        ImageLayout::new(&layers).write(&at("layout"), "test");
        let Ok(mut umoci) = unpack_with_umoci(&at("layout"), &at("bundle")) else {
            refused += 1;
            continue;
        };
        for format in ["erofs", "squashfs"] {
            let run =
                flipslot(folder.path(), &["image", format, "oci:layout:test", "--format", format, "--progress=none"]);
            run.must_end(0, &[]);
            compared += 1;
            if format == "squashfs" {
                tool("unsquashfs", &["-llc", &at(format).to_string_lossy()]);
                umoci.0.values_mut().for_each(as_squashfs);
            } else {
                tool("fsck.erofs", &[&at(format).to_string_lossy()]);
            }
            let mounted = Mounted::at(&at(format), format, &at("mounted"));
            let ours = Tree::of(mounted.place()).without_xattr("security.selinux");
            settle(&mut umoci, &ours);
            let difference = umoci.difference(&ours);
            assert!(difference.is_empty(), "seed {seed}, {format}: - umoci, + flipslot:\n{difference}");
        }
    }
    let all = last - first + 1;
    assert!(refused <= all / 4 && compared >= all, "{refused} of {all} images were not compared");
}

/// A squashfs has whole seconds, and none before 1970 (squashfs_fs.h, struct squashfs_base_inode: mtime).
fn as_squashfs(node: &mut Node) {
    node.mtime = (node.mtime.0.max(0), 0);
}

/// A directory that no entry describes has the time of its unpacking with umoci.
fn settle(umoci: &mut Tree, ours: &Tree) {
    for (path, node) in &mut umoci.0 {
        if node.kind == 'd' && node.mtime.0 > 1_600_000_000 && ours.has(path) {
            node.mtime = ours.at(path).mtime;
        }
    }
}
