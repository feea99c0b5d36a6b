//! An image kept in memory: the same tree as a slot that it is written into, for who judges it, and
//! of the contents what was asked for.
//!
//! That it is the same, every test that applies layers to a [`Sandbox`](super::Sandbox) checks too.

use super::{Sandbox, with_both_resolvers};
use crate::support::layout::{ImageLayout, Packing};
use crate::support::tar::{Tar, character, dir, fifo, file, hardlink, opaque, symlink, whiteout};
use flipslot::error::Result;
use flipslot::layer::apply;
use flipslot::oci::{Access, Reference, resolve};
use flipslot::root::memory::MemoryTree;
use flipslot::root::memory::retention::{Retain, Retention, rules_read};
use flipslot::root::mounted::directory::{Resolver, Root};
use flipslot::root::tree::{Last, Tree, What};
use flipslot::tool::Tool;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

/// Panics where the two do not say the same: of any path below the root, whether its last link is
/// followed or not, and of the contents, all of which must have been kept.
pub fn assert_same(written: &Root, kept: &MemoryTree) {
    let mut waiting = vec![".".to_owned()];
    while let Some(path) = waiting.pop() {
        assert_same_at(&path, written, kept);
        if written.look(&path, Last::NoFollow).unwrap().is_some_and(|found| found.what == What::Directory) {
            // Beyond PATH_MAX no path names anything any more.
            let names = written.list(&path).unwrap();
            waiting.extend(names.iter().map(|name| format!("{path}/{name}")).filter(|path| path.len() < 4096));
        }
    }
}

fn assert_same_at(path: &str, written: &Root, kept: &MemoryTree) {
    for last in [Last::NoFollow, Last::Follow] {
        let (written, kept) = (written.look(path, last), kept.look(path, last));
        match (&written, &kept) {
            (Ok(written), Ok(kept)) => assert_eq!(kept, written, "/{path}, {last:?}"),
            (Err(_), Err(_)) => {}
            _ => panic!("/{path}, {last:?}: written {written:?}, kept {kept:?}"),
        }
    }
    match (written.list(path), kept.list(path)) {
        (Ok(written), Ok(kept)) => assert_eq!(kept, written, "the names in /{path}"),
        (Err(_), Err(_)) => {}
        (written, kept) => panic!("the names in /{path}: written {written:?}, kept {kept:?}"),
    }
    match (content(written, path), content(kept, path)) {
        (Ok(written), Ok(kept)) => assert!(written == kept, "the content of /{path}"),
        (Err(_), Err(_)) => {}
        (written, kept) => panic!("the content of /{path}: written {written:?}, kept {kept:?}"),
    }
}

fn content(tree: &dyn Tree, path: &str) -> Result<Option<Vec<u8>>> {
    let Some(mut file) = tree.open(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// A tree of these layers, with what `wants` says of their contents.
fn keep(layers: &[Vec<u8>], wants: Retention) -> MemoryTree {
    let mut tree = MemoryTree::retaining(wants);
    let mut budget = MemoryTree::budget();
    layers.iter().try_for_each(|layer| apply(&layer[..], &mut tree, &mut budget)).unwrap();
    tree
}

fn refusal<T>(result: Result<T>) -> String {
    format!("{:#}", result.err().expect("refused"))
}

/// Links of every kind, beside a chain of 40 and one of 41.
fn links() -> Vec<u8> {
    let chain = |name: &'static str, links: usize| {
        let link = move |step: usize| symlink(format!("{name}{step}"), format!("{name}{}", step + 1));
        (0..links).map(link).chain([file(format!("{name}{links}"), "the end")])
    };
    let long = "n".repeat(256);
    let links = [
        ("lib", "usr/lib"),
        ("abs", "/usr/lib"),
        ("up", "../../../../../.."),
        ("inner/go_up", ".."),
        ("inner/escape", "go_up/../../victim"),
        ("a", "b"),
        ("b", "a"),
        ("magic", "/proc/self/root"),
        ("twice", "abs/../lib"),
        ("slash", "usr/lib/os-release/"),
        ("dot", "usr/lib/os-release/."),
        ("folder-slash", "usr//lib/./"),
        ("below-file", "usr/lib/os-release/../os-release"),
        ("to-link", "lib/link"),
        ("link-slash", "to-link/"),
        ("lib/link", "os-release"),
        ("long", &long),
        ("long-below-file", &format!("forty40/{long}")),
    ];
    let files = [dir("usr/lib"), dir("inner"), file("usr/lib/os-release", "inside")].into_iter();
    let links = links.map(|(link, target)| symlink(link, target));
    Tar::of(files.chain(links).chain(chain("forty", 40)).chain(chain("many", 41)))
}

#[test]
fn paths_lead_where_they_lead_in_a_slot() {
    let layers = [links()];
    let slot = Sandbox::new(Resolver::Openat2);
    slot.apply(&layers).unwrap();
    let trees: [&dyn Tree; 2] = [&Root::open(&slot.root()).unwrap(), &keep(&layers, |_, _| Retain::All)];
    for tree in trees {
        for path in [
            "lib/os-release",
            "abs/os-release",
            "twice/os-release",
            "up/usr/lib/os-release",
            "inner/go_up/lib/os-release",
            "folder-slash/os-release",
            "/../lib/./os-release",
            "to-link",
        ] {
            assert_eq!(tree.read(path, 100).unwrap().as_deref(), Some("inside"), "{path}");
        }
        assert_eq!(tree.read("forty0", 100).unwrap().as_deref(), Some("the end"));
        assert_eq!(tree.list("folder-slash").unwrap(), ["link", "os-release"]);
        assert!(
            matches!(tree.look("a", Last::NoFollow).unwrap().unwrap().what, What::Symlink { target } if target == b"b")
        );
    }
}

#[test]
fn paths_that_lead_nowhere_lead_nowhere_in_a_slot() {
    let layers = [links()];
    let slot = Sandbox::new(Resolver::Openat2);
    slot.apply(&layers).unwrap();
    let trees: [&dyn Tree; 2] = [&Root::open(&slot.root()).unwrap(), &keep(&layers, |_, _| Retain::All)];
    for tree in trees {
        for path in
            ["up/victim/hello", "inner/escape/hello", "a/x", "a", "many0", "magic", "lib/os-release/x", "missing"]
        {
            assert_nothing_at(path, tree);
        }
        for path in ["slash", "dot", "link-slash", "below-file", "long-below-file"] {
            assert_nothing_at(path, tree);
        }
        assert!(tree.look("long", Last::Follow).is_err() && tree.look("", Last::Follow).is_err());
    }
}

fn assert_nothing_at(path: &str, tree: &dyn Tree) {
    assert_eq!(tree.look(path, Last::Follow).unwrap(), None, "{path}");
    assert_eq!(tree.read(path, 100).unwrap(), None, "{path}");
    assert!(tree.list(path).unwrap().is_empty() && !tree.has_file(path), "{path}");
}

#[test]
fn what_is_no_file_is_an_error_and_does_not_hang() {
    let tree =
        keep(&[Tar::of([fifo("fifo"), character("null", 1, 3), dir("dir"), symlink("link", "fifo")])], rules_read);
    for path in ["fifo", "null", "dir", "link", "/"] {
        assert!(refusal(tree.read(path, 100)).contains("not a regular file"), "{path}");
        assert!(refusal(tree.head(path, 1)).contains("not a regular file"), "{path}");
        assert!(!tree.has_file(path));
    }
    assert_eq!(tree.look("fifo", Last::Follow).unwrap().unwrap().what, What::Other);
}

#[test]
fn labels_and_modes_are_those_of_the_last_entry() {
    let label = "system_u:object_r:etc_t:s0\0";
    with_both_resolvers(|slot| {
        let lower = Tar::of([
            dir("etc").mode(0o700).xattr("security.selinux", label),
            file("etc/shadow", "").mode(0o600).xattr("security.selinux", label).xattr("user.x", "y"),
            hardlink("etc/second", "etc/shadow"),
            symlink("l", "etc").mode(0o600).xattr("security.selinux", label),
            dir("./").mode(0o711),
            dir("plain").mode(0o1777),
        ]);
        let upper =
            Tar::of([dir("etc").mode(0o750), dir("plain").xattr("security.selinux", label), file("l2/made", "")]);
        slot.apply(&[lower, upper]).unwrap();
        let tree = slot.kept.borrow();
        let of = |path: &str| {
            let found = tree.as_ref().unwrap().look(path, Last::NoFollow).unwrap().unwrap();
            (found.mode, found.labelled)
        };
        assert_eq!(
            [of("."), of("etc"), of("plain"), of("l2")],
            [(0o711, false), (0o750, false), (0o755, true), (0o755, false)]
        );
        assert_eq!([of("etc/shadow"), of("etc/second"), of("l")], [(0o600, true), (0o600, true), (0o777, true)]);
    });
}

#[test]
fn a_hard_link_that_replaces_its_own_target_is_refused() {
    with_both_resolvers(|slot| {
        let lower = || Tar::of([dir("d"), file("d/f", ""), file("x", ""), hardlink("y", "x")]);
        slot.apply(&[lower(), Tar::of([hardlink("x", "y")])]).unwrap();
        for link in [hardlink("x", "x"), hardlink("d", "d/f"), hardlink("new", "d")] {
            let slot = Sandbox::new(slot.resolver);
            let text = slot.refusal_of(&[lower(), Tar::of([link])]);
            assert!(text.contains("making a hard link to"), "{text}");
        }
    });
}

#[test]
fn a_whiteout_spares_a_directory_that_its_layer_made_on_the_way() {
    let layer = [symlink("l", "gone/../to"), file("l/f", ""), whiteout("gone"), opaque(".")];
    let tree = keep(&[Tar::of([dir("old")]), Tar::of(layer)], rules_read);
    assert_eq!(tree.list("/").unwrap(), ["gone", "l", "to"]);
}

#[test]
fn names_that_are_no_text_are_kept_and_not_listed() {
    let tree = keep(&[Tar::of([file(b"latin1-\xe4", "x"), symlink("text", b"latin1-\xe4")])], |_, _| Retain::All);
    assert_eq!(tree.list("/").unwrap(), ["text"]);
    assert_eq!(tree.read("text", 10).unwrap().as_deref(), Some("x"));
}

#[test]
fn what_was_not_kept_is_an_error_that_says_so() {
    let wants: Retention = |path, _| match path.as_bytes() {
        b"usr/head" => Retain::Head(4),
        b"usr/all" => Retain::All,
        _ => Retain::Nothing,
    };
    let layer = [symlink("u", "usr"), dir("usr"), file("u/head", "0123456"), file("u/all", "all of it")];
    let layer = layer.into_iter().chain([file("none", "not this"), file("empty", ""), hardlink("name", "u/head")]);
    let tree = keep(&[Tar::of(layer)], wants);
    assert_eq!(tree.read("usr/all", 100).unwrap().as_deref(), Some("all of it"), "the real path decides");
    assert_eq!(tree.read("empty", 100).unwrap().as_deref(), Some(""), "nothing is all of it");
    for path in ["usr/head", "name"] {
        assert_eq!(tree.head(path, 4).unwrap().unwrap(), b"0123");
        for text in [refusal(tree.head(path, 5)), refusal(tree.open(path)), refusal(tree.read(path, 100))] {
            assert!(text.contains(&format!("of the 7B of /{path} in the image, only 4B were kept")), "{text}");
        }
        assert!(refusal(tree.read(path, 3)).contains("has 7B, more than the 3B"));
    }
    assert_eq!(tree.head("none", 0).unwrap().unwrap(), b"");
    assert!(refusal(tree.open("none")).contains("only 0B were kept"));
    assert_eq!(tree.look("none", Last::Follow).unwrap().unwrap().what, What::File { size: 8 });
}

#[test]
fn contents_follow_their_names_through_later_layers() {
    let tree = keep(
        &[
            Tar::of([
                file("etc/one", "lower"),
                hardlink("two", "etc/one"),
                file("etc/gone", "x"),
                dir("boot"),
                file("boot/initrd", "r"),
            ]),
            Tar::of([file("etc/one", "upper"), whiteout("etc/gone"), opaque("boot"), file("boot/initrd-2", "new")]),
        ],
        rules_read,
    );
    let read = |path: &str| tree.read(path, 100).unwrap();
    assert_eq!([read("etc/one").as_deref(), read("two").as_deref()], [Some("upper"), Some("lower")]);
    assert_eq!([read("etc/gone"), read("boot/initrd"), read("boot/initrd-2")], [None, None, Some("new".to_owned())]);
}

#[test]
fn more_than_memory_is_meant_to_hold_is_kept_all_the_same() {
    // 64 MiB are kept in memory, of files of at most 1 MiB.
    let body = |number: u8| vec![number; 1 << 20];
    let small = (0..70).map(|number| file(format!("boot/initrd-{number}"), body(number)));
    let large = [vec![b'a'; 3 << 20], vec![b'b'; 1]].concat();
    let tree = keep(&[Tar::of(small.chain([file("boot/initramfs", &large)]))], rules_read);
    for number in 0..70 {
        let content = content(&tree, &format!("boot/initrd-{number}")).unwrap().unwrap();
        assert!(content == body(number), "{number}");
    }
    assert!(content(&tree, "boot/initramfs").unwrap().unwrap() == large);
    assert_eq!(tree.head("boot/initramfs", 3).unwrap().unwrap(), b"aaa");
}

#[test]
fn a_tree_deeper_than_any_path_is_kept_cleared_and_dropped() {
    // Each layer goes 1500 directories further down, from where the link before led.
    let down = "d/".repeat(1500);
    let step = |number: usize| {
        let above = if number == 0 { String::new() } else { format!("l{}/", number - 1) };
        Tar::of([file(format!("{above}{down}f"), ""), symlink(format!("l{number}"), format!("{above}{down}"))])
    };
    let lower: Vec<Vec<u8>> = (0..40).map(step).collect();
    let with = |layer: Vec<u8>| keep(&[lower.clone(), vec![layer]].concat(), rules_read);
    assert!(with(Tar::of([])).has_file("l39/f"));
    assert_eq!(with(Tar::of([whiteout("d")])).list("/").unwrap().len(), 40);
    let spared = with(Tar::of([file("l39/new", ""), whiteout("d")]));
    assert_eq!(
        (spared.list("l39").unwrap(), spared.list("l38").unwrap()),
        (vec!["new".to_owned()], vec!["d".to_owned()])
    );
    assert!(with(Tar::of([file("d", "now a file")])).has_file("d"));
}

#[test]
fn an_image_is_kept_by_who_is_not_root() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let place = |name: &str| folder.path().join(name);
    let layer = Tar::of([
        file("etc/shadow", "secret").mode(0).owner(1, 1),
        character("dev/sda", 8, 0),
        dir("closed").mode(0),
        file("closed/f", ""),
    ]);
    ImageLayout::new(&[(Packing::Gzip, layer), (Packing::Gzip, Tar::of([file("boot/initrd", vec![7; 2 << 20])]))])
        .write(&place("oci"), "test");
    fs::create_dir(place("tmp")).unwrap();
    fs::set_permissions(place("tmp"), fs::Permissions::from_mode(0o777)).unwrap();
    // Who is not root may not reach the place where it was built.
    fs::copy(std::env::current_exe().unwrap(), place("tests")).unwrap();
    let ran = Tool::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "env"])
        .arg(format!("TMPDIR={}", place("tmp").display()))
        .arg(format!("{LAYOUT}=oci:{}:test", place("oci").display()))
        .arg(place("tests"))
        .args(["--exact", "layers::kept::keeps_the_image_that_the_environment_names", "--ignored", "--nocapture"])
        .run()
        .unwrap();
    assert!(ran.stdout.contains("1 passed") && ran.stdout.contains("by user 65534, 2 layers"), "{}", ran.stdout);
}

/// The environment variable that names an image, as a reference.
const LAYOUT: &str = "FLIPSLOT_TEST_IMAGE";

/// Run as nobody by the test above; and by hand, to measure what a real image takes.
#[test]
#[ignore = "keeps the image that $FLIPSLOT_TEST_IMAGE names, and says what it took"]
fn keeps_the_image_that_the_environment_names() {
    let reference: Reference = std::env::var(LAYOUT).expect("a reference").parse().unwrap();
    let image = resolve(&reference, &"amd64".parse().unwrap(), &Access::default()).unwrap();
    let begin = Instant::now();
    let mut tree = MemoryTree::for_rules();
    image.apply_to(&mut tree, MemoryTree::budget(), |_| {}).unwrap();
    let seconds = begin.elapsed().as_secs_f32();
    let user = rustix::process::getuid();
    println!("by user {user}, {} layers, {seconds:.1} s", image.layer_count());
    for path in ["etc/shadow", "etc/os-release", "sbin/init"] {
        println!("{path}: {:?}", tree.head(path, 100).map(|head| head.map(|head| head.escape_ascii().to_string())));
    }
    for name in tree.list("boot").unwrap().iter().filter(|name| name.starts_with("initrd")) {
        println!("boot/{name}: {} bytes", content(&tree, &format!("boot/{name}")).unwrap().unwrap().len());
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status
        .lines()
        .filter(|line| line.starts_with("VmHWM") || line.starts_with("RssFile"))
        .for_each(|line| println!("{line}"));
}
