//! Images unpacked by umoci and by flipslot must be the same, entry by entry.
//!
//! umoci is the tool of the Open Containers Initiative that reads the layer format as its
//! specification is written. Where it leaves something undefined, the comparison says so.

use super::{PLENTY, sandbox};
use crate::support::layout::{ImageLayout, Packing, blob_path};
use crate::support::tar::{
    Item, LongNames, Tar, block, character, dir, fifo, file, hardlink, opaque, symlink, whiteout,
};
use crate::support::tree::Tree;
use flipslot::error::Result;
use flipslot::oci::{Access, Reference, resolve};
use flipslot::root::mounted::directory::Root;
use flipslot::root::mounted::sink::MountedRoot;
use flipslot::tool::Tool;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What both made of one image; an error is a refusal.
pub struct Both {
    pub umoci: Result<Tree>,
    pub flipslot: Result<Tree>,
}

impl Both {
    /// Unpacks an image of these layers with both.
    pub fn unpack(layers: &[Vec<Item>], packing: Packing) -> Both {
        drop(sandbox()); // which tells who is not root how to run this
        let folder = tempfile::tempdir().unwrap();
        let layout = folder.path().join("layout");
        let layers: Vec<_> = layers.iter().map(|layer| (packing, Tar::of(layer.iter().cloned()))).collect();
        ImageLayout::new(&layers).write(&layout, "test");
        let begin = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        let mut both = Both {
            umoci: unpack_with_umoci(&layout, &folder.path().join("bundle")),
            flipslot: unpack_with_flipslot(&layout, &folder.path().join("root")),
        };
        both.settle(begin);
        both
    }

    /// Takes out of the comparison what umoci leaves undefined, and checks that we do not.
    fn settle(&mut self, begin: i64) {
        let Ok(ours) = &self.flipslot else { return };
        for (path, node) in &ours.0 {
            assert!(node.mtime.0 < begin, "/{} has the time of its unpacking", path.escape_ascii());
        }
        let Ok(theirs) = &mut self.umoci else { return };
        for (path, node) in &mut theirs.0 {
            // A directory that no entry describes, or that a whiteout emptied, has the time of
            // its unpacking with umoci.
            if node.kind == 'd' && node.mtime.0 >= begin - 1 && ours.has(path) {
                node.mtime = ours.at(path).mtime;
            }
        }
    }

    /// What differs; empty if nothing does. Both must have unpacked the image.
    pub fn difference(&self) -> String {
        let (umoci, flipslot) = (self.umoci.as_ref().unwrap(), self.flipslot.as_ref().unwrap());
        umoci.difference(flipslot)
    }
}

pub fn unpack_with_umoci(layout: &Path, bundle: &Path) -> Result<Tree> {
    let image = format!("{}:test", layout.display());
    Tool::new("umoci")
        .args(["unpack", "--image", &image])
        .arg(bundle)
        .hint("install umoci (apt-get install umoci)")
        .run()?;
    // umoci 0.4.7 passes over security.selinux on purpose: on its hosts the policy labels files.
    Ok(Tree::of(&bundle.join("rootfs")).without_xattr("security.selinux"))
}

fn unpack_with_flipslot(layout: &Path, root: &Path) -> Result<Tree> {
    fs::create_dir(root)?;
    let reference: Reference = format!("oci:{}:test", layout.display()).parse()?;
    let image = resolve(&reference, &"amd64".parse()?, &Access::default())?;
    let mut sink = MountedRoot::new(Root::open(root)?)?;
    image.apply_to(&mut sink, PLENTY, |_| {})?;
    Ok(Tree::of(root).without_xattr("security.selinux"))
}

/// Unpacks with both, and panics with what differs; returns the tree.
fn same(layers: &[Vec<Item>]) -> Tree {
    let both = Both::unpack(layers, Packing::Gzip);
    let difference = both.difference();
    assert!(difference.is_empty(), "- umoci, + flipslot:\n{difference}");
    both.flipslot.unwrap()
}

fn root() -> Item {
    dir("./").mode(0o755).mtime(1000, 0)
}

#[test]
fn every_kind_of_entry_with_all_of_its_metadata() {
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let tree = same(&[vec![
        root().mode(0o751).owner(1, 2),
        dir("bin").mtime(5, 123_456_789),
        file("bin/su", "program").mode(0o4755).mtime(1_350_244_992, 23_960_108),
        file("bin/ping", "program").mode(0o755).owner(10, 20).xattr("security.capability", capability),
        file("bin/wall", "").mode(0o2755).owner(0, 5),
        dir("tmp").mode(0o1777).mtime(-86_400, 0),
        file("tmp/old", "").mtime(-1_000_000, 500_000_000),
        file("owned", "x").owner(1_000_000, 3_000_000_000).mode(0o600),
        file("labels", "")
            .xattr("user.one", "1")
            .xattr("trusted.two", b"\0binary\n")
            .xattr("security.selinux", "etc_t"),
        // No attribute here is empty: Go's archive/tar, by which umoci reads, passes over those.
        dir("labelled").xattr("user.d", "of a directory").xattr("trusted.d", "d"),
        symlink("abs", "/bin/su").owner(3, 4).mtime(9, 9),
        symlink("rel", "bin/../bin/su").xattr("trusted.l", "link"),
        symlink("dangling", "no/where"),
        symlink("out", "../../../etc/passwd"),
        hardlink("bin/ping6", "bin/ping"),
        hardlink("rel2", "rel"),
        dir("dev"),
        character("dev/null", 1, 3).mode(0o666),
        block("dev/loop0", 7, 0).owner(0, 6).mode(0o660),
        fifo("dev/initctl").mtime(1, 2).owner(1, 1),
    ]]);
    assert_eq!(tree.0.len(), 20);
}

#[test]
fn names_of_every_length_and_of_any_bytes() {
    let component = |byte: &str, length: usize| byte.repeat(length);
    let deep = [component("a", 200), component("b", 200), component("c", 200)].join("/");
    let mut layer = vec![
        root(),
        dir(component("n", 99)),
        dir(component("n", 100)),
        dir(component("n", 101)),
        dir(component("n", 255)),
    ];
    layer.extend([component("a", 200), [component("a", 200), component("b", 200)].join("/"), deep.clone()].map(dir));
    layer.extend([
        file(format!("{deep}/pax"), "1"),
        file(format!("{deep}/gnu"), "2").long_names(LongNames::Gnu),
        symlink("long-link", format!("{deep}/pax")),
        symlink("long-gnu-link", format!("{deep}/gnu")).long_names(LongNames::Gnu),
        hardlink("long-hard-link", format!("{deep}/pax")),
        file(b"latin1-\xe4\xff", "3"),
        file("utf8-\u{e4}", "4"),
        file("new\nline and space", "5"),
    ]);
    assert_eq!(same(&[layer.clone()]).0.len(), layer.len());
}

#[test]
fn later_layers_replace_whatever_stands_there() {
    let kinds = || {
        ["file", "dir", "link-to-dir", "link-to-file", "dangling", "fifo"].into_iter().zip([
            |name: &str| vec![file(name, "file")],
            |name: &str| vec![dir(name).mode(0o750), file(format!("{name}/in"), ""), dir(format!("{name}/sub"))],
            |name: &str| vec![symlink(name, "target")],
            |name: &str| vec![symlink(name, "target/in")],
            |name: &str| vec![symlink(name, "nowhere")],
            |name: &str| vec![fifo(name)],
        ])
    };
    let (mut lower, mut upper) = (vec![root(), dir("target"), file("target/in", "kept")], vec![]);
    for (old, make_old) in kinds() {
        for (new, make_new) in kinds() {
            let name = format!("{old}-then-{new}");
            lower.extend(make_old(&name));
            upper.extend(make_new(&name));
        }
    }
    let tree = same(&[lower, upper]);
    assert!(tree.has("target/in"));
    assert_eq!((tree.at("link-to-dir-then-dir").kind, tree.at("dir-then-file").kind), ('d', 'f'));
}

#[test]
fn whiteouts_of_everything_and_of_nothing() {
    let tree = same(&[
        vec![
            root(),
            dir("d"),
            file("d/f", ""),
            file("f", ""),
            symlink("to-d", "d"),
            symlink("dead", "x"),
            fifo("p"),
            dir("e"),
            dir("e/sub"),
            file("e/sub/f", ""),
        ],
        vec![
            whiteout("f"),
            whiteout("to-d"),
            whiteout("dead"),
            whiteout("p"),
            whiteout("e"),
            whiteout("missing"),
            whiteout("d/missing"),
        ],
        vec![root().mtime(2000, 0), file("again", "")],
    ]);
    assert_eq!(tree.names(), ["again", "d", "d/f"]);
}

#[test]
fn opaque_directories_before_and_after_their_siblings() {
    let lower = vec![
        root(),
        dir("d"),
        file("d/old", ""),
        file("d/both", "old"),
        dir("d/sub"),
        file("d/sub/old", ""),
        dir("d/gone"),
        file("d/gone/x", ""),
    ];
    let new = vec![
        dir("d").mtime(50, 0),
        file("d/new", ""),
        file("d/both", "new"),
        dir("d/sub").mtime(60, 0),
        file("d/sub/new", ""),
    ];
    let before = [vec![opaque("d")], new.clone()].concat();
    let after = [new.clone(), vec![opaque("d")]].concat();
    let between = [&new[..2], &[opaque("d")], &new[2..]].concat();
    for upper in [before, after, between] {
        assert_eq!(same(&[lower.clone(), upper]).names(), ["d", "d/both", "d/new", "d/sub", "d/sub/new"]);
    }
    assert!(same(&[lower, vec![opaque("."), root()]]).names().is_empty());
}

#[test]
fn what_one_layer_removes_and_makes() {
    let lower = vec![root(), file("f", "old"), dir("d").mode(0o700), file("d/old", ""), symlink("l", "d")];
    for upper in [
        vec![whiteout("f"), file("f", "new")],
        vec![file("f", "new"), whiteout("f")],
        vec![whiteout("d"), dir("d"), file("d/new", "")],
        vec![dir("d"), file("d/new", ""), whiteout("d")],
        vec![file("d/new", ""), whiteout("d/old"), whiteout("d/new")],
        vec![whiteout("l"), dir("l"), file("l/in", "")],
        vec![symlink("l", "f"), whiteout("l")],
        vec![whiteout("f"), dir("f"), file("f/in", ""), opaque("f")],
    ] {
        same(&[lower.clone(), upper]);
    }
}

#[test]
fn merged_usr_is_written_and_removed_through_its_links() {
    let lower = vec![
        root(),
        dir("usr"),
        dir("usr/lib"),
        dir("usr/bin"),
        file("usr/lib/old", ""),
        file("usr/bin/sh", "sh").mode(0o755),
        symlink("lib", "usr/lib"),
        symlink("bin", "/usr/bin"),
        symlink("usr/lib64", "../usr/lib"),
    ];
    let tree = same(&[
        lower.clone(),
        vec![
            file("lib/new", "new"),
            hardlink("lib/hard", "bin/sh"),
            file("bin/tool", "").mode(0o4755),
            whiteout("lib/old"),
            dir("lib/modules").mtime(44, 0),
        ],
        vec![file("usr/lib64/more", ""), whiteout("bin/sh"), symlink("lib/modules/build", "/usr/src")],
    ]);
    assert!(tree.has("usr/lib/modules/build") && !tree.has("usr/lib/old") && !tree.has("usr/bin/sh"));
    same(&[lower.clone(), vec![opaque("lib"), file("lib/new", "")]]);
    same(&[lower, vec![dir("lib").mtime(77, 0), file("lib/own", "")]]);
}

#[test]
fn hard_links_within_and_across_layers() {
    let tree = same(&[
        vec![
            root(),
            dir("a"),
            file("a/one", "lower").owner(5, 5),
            hardlink("two", "a/one"),
            symlink("l", "a/one"),
            hardlink("l2", "l"),
            fifo("p"),
            hardlink("p2", "p"),
        ],
        vec![hardlink("three", "a/one"), hardlink("a/l3", "/l"), hardlink("four", "./a/../two")],
        vec![file("two", "upper"), whiteout("a/one"), hardlink("five", "three")],
    ]);
    assert_eq!((&tree.at("five").first_name[..], &tree.at("four").first_name[..]), (&b"five"[..], &b"five"[..]));
    assert_eq!(tree.at("two").first_name, b"two");
}

#[test]
fn directories_keep_the_time_and_metadata_of_their_last_entry() {
    let tree = same(&[
        vec![
            root(),
            dir("d").mode(0o700).owner(1, 1).mtime(10, 10).xattr("user.old", "1"),
            dir("d/sub").mtime(20, 20),
            file("d/f", ""),
        ],
        vec![file("d/g", ""), file("d/sub/h", ""), whiteout("d/f")],
        vec![dir("d").mode(0o711).owner(2, 2).xattr("user.new", "2").mtime(30, 30)],
        vec![symlink("d/l", "g"), hardlink("d/k", "d/g"), fifo("d/sub/p")],
    ]);
    assert_eq!((tree.at("d").mtime, tree.at("d").mode, tree.at("d/sub").mtime), ((30, 30), 0o711, (20, 20)));
    assert_eq!(tree.at("d").xattrs.len(), 1);
}

#[test]
fn every_packing_gives_the_same_tree() {
    let layers = [vec![root(), dir("d"), file("d/f", "x".repeat(100_000))], vec![file("d/g", "")]];
    let gzip = same(&layers);
    for packing in [Packing::Plain, Packing::Zstd] {
        assert_eq!(Both::unpack(&layers, packing).flipslot.unwrap().difference(&gzip), "");
    }
    assert_eq!(Both::unpack(&layers, Packing::Plain).difference(), "");
}

#[test]
fn an_image_that_is_not_what_its_digests_say_is_refused_by_both() {
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("layout");
    let image = ImageLayout::new(&[(Packing::Gzip, Tar::of([root(), file("f", "x")]))]);
    let blob = blob_path(&layout, &image.layer(0));
    image.write(&layout, "test");
    unpack_with_umoci(&layout, &folder.path().join("good-bundle")).unwrap();
    unpack_with_flipslot(&layout, &folder.path().join("good-root")).unwrap();
    let mut bytes = fs::read(&blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&blob, bytes).unwrap();
    assert!(unpack_with_umoci(&layout, &folder.path().join("bundle")).is_err());
    let text = format!("{:#}", unpack_with_flipslot(&layout, &folder.path().join("root")).unwrap_err());
    assert!(text.contains("digest") || text.contains("decompressing"), "{text}");
}
