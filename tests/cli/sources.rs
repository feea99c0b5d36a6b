//! One image in every place that a reference can name: the same tree comes out.

use crate::support::layout::{ImageLayout, Packing};
use crate::support::program::tool;
use crate::support::tar::{Tar, dir, file, hardlink, symlink, whiteout};
use crate::support::tree::Tree;
use flipslot::layer::Budget;
use flipslot::oci::{Access, Platform, Reference, resolve};
use flipslot::root::mounted::directory::Root;
use flipslot::root::mounted::sink::MountedRoot;
use std::path::Path;

fn image(packing: Packing) -> ImageLayout {
    let lower = Tar::of([
        dir("etc").mtime(5, 0),
        file("etc/old", "x"),
        file("etc/a", "a").owner(7, 8).mode(0o4755).mtime(9, 0),
    ]);
    let upper =
        Tar::of([whiteout("etc/old"), symlink("l", "etc/a"), hardlink("b", "etc/a"), file("big", vec![7; 300_000])]);
    ImageLayout::new(&[(packing, lower), (packing, upper)])
}

/// What flipslot makes of `reference`.
fn tree(reference: &str, folder: &Path) -> Tree {
    let root = tempfile::tempdir_in(folder).unwrap();
    let reference: Reference = reference.parse().unwrap();
    let image = resolve(&reference, &Platform::of_this_machine(), &Access::default())
        .unwrap_or_else(|error| panic!("{error:#}"));
    let mut sink = MountedRoot::new(Root::open(root.path()).unwrap()).unwrap();
    let budget = Budget { bytes: 1 << 30, entries: 1000 };
    image.apply_to(&mut sink, budget, |_| {}).unwrap_or_else(|error| panic!("{error:#}"));
    // The root itself has no entry in these layers.
    std::fs::File::open(root.path())
        .unwrap()
        .set_times(std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH))
        .unwrap();
    Tree::of(root.path())
}

#[test]
fn layouts_archives_and_docker_archives_give_the_same_tree() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    for (name, packing) in [("plain", Packing::Plain), ("gzip", Packing::Gzip), ("zstd", Packing::Zstd)] {
        image(packing).write(&folder.path().join(name), "1");
    }
    let layout = format!("oci:{}:1", path("gzip"));
    tool("skopeo", &["copy", "-q", &layout, &format!("oci-archive:{}:1", path("oci.tar"))]);
    tool("skopeo", &["copy", "-q", &layout, &format!("docker-archive:{}:x/y:1", path("docker.tar"))]);
    let expected = tree(&layout, folder.path());
    assert_eq!(expected.names().len(), 5, "{:?}", expected.names());
    for reference in [
        format!("oci:{}:1", path("plain")),
        format!("oci:{}", path("zstd")),
        format!("oci-archive:{}:1", path("oci.tar")),
        format!("oci-archive:{}", path("oci.tar")),
        format!("docker-archive:{}", path("docker.tar")),
        format!("docker-archive:{}:x/y:1", path("docker.tar")),
    ] {
        let difference = expected.difference(&tree(&reference, folder.path()));
        assert!(difference.is_empty(), "{reference}: {difference}");
    }
}

#[test]
fn an_archive_that_is_compressed_as_a_whole_says_how_to_unpack_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.tar"), [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]).unwrap();
    let reference: Reference = format!("docker-archive:{}/x.tar", folder.path().display()).parse().unwrap();
    let error = resolve(&reference, &Platform::of_this_machine(), &Access::default()).err().unwrap();
    assert!(flipslot::error::hint(&error).unwrap().contains("gunzip"));
}
