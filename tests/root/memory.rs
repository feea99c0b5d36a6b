//! Memory: a root in memory of 200,000 entries takes less than 200 MB.

use crate::root::walked::walked;
use crate::support::tar::{Item, Tar, dir, file, hardlink, symlink};
use flipslot::layer::apply;
use flipslot::root::memory::MemoryTree;
use flipslot::root::tar_writer::write_tar;
use flipslot::root::walk::Walk;
use flipslot::tool::Tool;
use std::collections::VecDeque;
use std::io::{self, BufReader, Read};

/// Entries of the image, as many as that of a large desktop.
const ENTRIES: usize = 200_000;
/// Limit on the memory of the whole process at its peak, in kB.
const MOST: u64 = 200 * 1000;

/// An archive that is made while it is read, which costs no memory.
struct Archive<I> {
    items: I,
    ready: VecDeque<u8>,
}

impl<I: Iterator<Item = Item>> Read for Archive<I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ready.is_empty()
            && let Some(item) = self.items.next()
        {
            self.ready.extend(Tar::default().add(item).unfinished());
        }
        self.ready.read(buffer)
    }
}

/// One of the entries. Of twenty: a directory, three links, a hard link, files of 0 to 4 KiB; nearly all labelled.
fn item(number: usize) -> Item {
    let name = |number: usize| format!("usr/share/directory-{}/a-name-of-usual-length-{number}", number / 20);
    let item = match number % 20 {
        0 => dir(format!("usr/share/directory-{}", number / 20)),
        1..=3 => symlink(name(number), "../../the/target/of/a/link"),
        19 => return hardlink(name(number), name(number - 1)),
        _ => file(name(number), vec![b'x'; number * 37 % 4096]).mtime(1_700_000_000, 7),
    };
    item.xattr("security.selinux", format!("system_u:object_r:type_{}_t:s0\0", number % 300))
}

#[test]
fn two_hundred_thousand_entries_stay_below_200_mb() {
    let ran = Tool::new(std::env::current_exe().unwrap())
        .args(["--exact", "root::memory::holds_200_000_entries_and_prints_its_peak", "--ignored", "--nocapture"])
        .run()
        .unwrap();
    let peak =
        ran.stdout.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_else(|| panic!("{}", ran.stdout));
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak > 10_000 && peak < MOST, "{peak} kB");
    println!("{peak} kB");
}

#[test]
#[ignore = "run by the test above in a process of its own, whose peak it prints"]
fn holds_200_000_entries_and_prints_its_peak() {
    let folder = tempfile::tempdir().unwrap();
    let mut tree = MemoryTree::complete(folder.path().to_owned());
    let archive = BufReader::new(Archive { items: (0..ENTRIES).map(item), ready: VecDeque::new() });
    apply(archive, &mut tree, &mut MemoryTree::budget()).unwrap();
    let mut visited = 0;
    tree.walk(&mut |_| {
        visited += 1;
        Ok(())
    })
    .unwrap();
    assert!(visited > ENTRIES, "{visited}");
    write_tar(&tree, &mut io::sink()).unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("\n{}", status.lines().find(|line| line.starts_with("VmHWM:")).unwrap());
}

#[test]
fn contents_beyond_the_bound_are_in_one_file_without_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut tree = MemoryTree::complete(folder.path().to_owned());
    let body = |number: u8| vec![number; 1 << 20];
    super::write(&[Tar::of((0..80).map(|number| file(format!("f{number:02}"), body(number))))], &mut tree);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let is_open = |fd: std::path::PathBuf| std::fs::read_link(fd).is_ok_and(|to| to.starts_with(folder.path()));
    let open = std::fs::read_dir("/proc/self/fd").unwrap().filter(|fd| is_open(fd.as_ref().unwrap().path())).count();
    assert_eq!(open, 1);
    let digests: Vec<_> = walked(&tree).into_iter().filter_map(|entry| entry.content).collect();
    let expected: Vec<_> = (0..80).map(|number| flipslot::words::digest::Digest::of(&body(number))).collect();
    assert!(digests == expected);
}
