//! A race: someone inside the slot swaps a directory for a link while layers are written.

use super::{Sandbox, with_both_resolvers};
use crate::support::tar::{Tar, dir, fifo, file, hardlink, symlink, whiteout};
use flipslot::layer::{Budget, apply};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long the two run against each other.
const LONG_ENOUGH: Duration = Duration::from_millis(300);

#[test]
fn a40_a_directory_that_is_swapped_for_a_link_again_and_again_leads_nowhere_else() {
    with_both_resolvers(|slot| {
        let root = slot.root();
        let names = ["d", "link", "absolute"];
        let lower = [dir("d"), dir("d/sub"), dir("d/inner"), dir("victim"), symlink("link", "../victim")];
        slot.apply(&[Tar::of(lower)]).unwrap();
        std::os::unix::fs::symlink(slot.victim(), root.join("absolute")).unwrap();
        let (stop, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
        let (written, refused) = thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    for link in &names[1..] {
                        let swapped = renameat_with(CWD, root.join("d"), CWD, root.join(link), RenameFlags::EXCHANGE);
                        swaps.fetch_add(u64::from(swapped.is_ok()), Ordering::Relaxed);
                    }
                }
            });
            let counts = write_for(slot, LONG_ENOUGH);
            stop.store(true, Ordering::Relaxed);
            counts
        });
        slot.assert_outside_is_unchanged();
        assert!(swaps.load(Ordering::Relaxed) > 0, "nothing was swapped");
        assert!(written > 0, "nothing was written; {refused} entries were refused");
        let planted = fs::read_dir(slot.victim()).unwrap().count();
        assert_eq!(planted, 2, "hello and inner");
    });
}

/// Writes through `d/` until `time` is over; returns how many layers went well and how many did not.
fn write_for(slot: &Sandbox, time: Duration) -> (u64, u64) {
    let begin = Instant::now();
    let layers = [
        Tar::of([file("d/hello", "planted").mode(0o777), file("other/x", "")]),
        Tar::of([dir("d/sub").mode(0o777), file("d/sub/x", ""), whiteout("d/sub")]),
        Tar::of([whiteout("d/hello"), file("other/x", "")]),
        Tar::of([symlink("d/l", "x"), fifo("d/p"), file("other/y", ""), hardlink("d/hard", "other/y")]),
        Tar::of([file("d/inner/file", "planted"), whiteout("d/inner/file")]),
        Tar::of([file("d/.wh..wh..opq", "")]),
    ];
    let (mut written, mut refused) = (0, 0);
    while begin.elapsed() < time {
        let mut sink = slot.sink();
        for layer in &layers {
            let mut budget = Budget { bytes: 1 << 20, entries: 100 };
            match apply(&layer[..], &mut sink, &mut budget) {
                Ok(()) => written += 1,
                Err(_) => refused += 1,
            }
        }
    }
    (written, refused)
}
