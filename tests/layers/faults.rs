//! Faults: whatever call of the sink fails, the error names the path and what failed.

use super::{PLENTY, sandbox};
use crate::support::layout::{ImageLayout, Packing};
use crate::support::tar::{Item, Tar, block, dir, fifo, file, hardlink, opaque, symlink, whiteout};
use flipslot::error::{Result, failed};
use flipslot::layer::entry::{Meta, Node};
use flipslot::layer::{LayerPath, RootSink};
use flipslot::oci::{Access, resolve};
use flipslot::root::mounted::sink::MountedRoot;
use std::io::BufRead;

/// A sink whose `fails_at`-th call fails, counted from 0.
struct Faulty {
    sink: MountedRoot,
    fails_at: usize,
    calls: usize,
}

impl Faulty {
    fn call(&mut self) -> Result<&mut MountedRoot> {
        self.calls += 1;
        if self.calls > self.fails_at {
            return Err(failed("the disk is on fire", ""));
        }
        Ok(&mut self.sink)
    }
}

impl RootSink for Faulty {
    fn begin_layer(&mut self) -> Result<()> {
        self.call()?.begin_layer()
    }
    fn directory(&mut self, path: &LayerPath, meta: &Meta) -> Result<()> {
        self.call()?.directory(path, meta)
    }
    fn file(&mut self, path: &LayerPath, meta: &Meta, body: &mut dyn BufRead) -> Result<()> {
        self.call()?.file(path, meta, body)
    }
    fn symlink(&mut self, path: &LayerPath, meta: &Meta, target: &[u8]) -> Result<()> {
        self.call()?.symlink(path, meta, target)
    }
    fn hardlink(&mut self, path: &LayerPath, target: &LayerPath) -> Result<()> {
        self.call()?.hardlink(path, target)
    }
    fn node(&mut self, path: &LayerPath, meta: &Meta, node: Node) -> Result<()> {
        self.call()?.node(path, meta, node)
    }
    fn whiteout(&mut self, path: &LayerPath) -> Result<()> {
        self.call()?.whiteout(path)
    }
    fn opaque(&mut self, path: &LayerPath) -> Result<()> {
        self.call()?.opaque(path)
    }
    fn finish(&mut self) -> Result<()> {
        self.call()?.finish()
    }
}

/// One entry of every kind, and the path that an error about it must name.
fn every_kind() -> Vec<(&'static str, Item)> {
    vec![
        ("/", dir("./")),
        ("/d", dir("d")),
        ("/d/f", file("d/f", "content")),
        ("/d/l", symlink("d/l", "f")),
        ("/d/h", hardlink("d/h", "d/f")),
        ("/d/b", block("d/b", 7, 0)),
        ("/d/p", fifo("d/p")),
        ("/d/.wh.gone", whiteout("d/gone")),
        ("/d/.wh..wh..opq", opaque("d")),
    ]
}

#[test]
fn every_call_that_fails_is_told_with_its_layer_its_path_and_what_failed() {
    let folder = tempfile::tempdir().unwrap();
    let (lower, upper) = (vec![("/d", dir("d")), ("/d/gone", file("d/gone", "x"))], every_kind());
    let tar = |entries: &[(&str, Item)]| Tar::of(entries.iter().map(|(_, item)| item.clone()));
    let layout = ImageLayout::new(&[(Packing::Gzip, tar(&lower)), (Packing::Plain, tar(&upper))]);
    // The calls in order: begin_layer and an entry each, for both layers; finish.
    let mut calls = Vec::new();
    for (number, entries) in [(1, &lower), (2, &upper)] {
        let layer = format!("layer {number} of 2 ({}): ", layout.layer(number - 1));
        calls.push(layer.clone());
        calls.extend(entries.iter().map(|(path, _)| format!("{layer}writing {path}: ")));
    }
    calls.push(String::new());
    layout.write(&folder.path().join("image"), "1");
    let reference = format!("oci:{}/image:1", folder.path().display()).parse().unwrap();
    let image = resolve(&reference, &"amd64".parse().unwrap(), &Access::default()).unwrap();
    for (fails_at, about) in calls.iter().enumerate() {
        let slot = sandbox();
        let mut sink = Faulty { sink: slot.sink(), fails_at, calls: 0 };
        let text = format!("{:#}", image.apply_to(&mut sink, PLENTY, |_| {}).unwrap_err());
        assert_eq!(text, format!("{about}the disk is on fire"));
        assert_eq!(sink.calls, fails_at + 1, "nothing is written after a failure");
    }
    let slot = sandbox();
    let mut sink = Faulty { sink: slot.sink(), fails_at: calls.len(), calls: 0 };
    image.apply_to(&mut sink, PLENTY, |_| {}).unwrap();
    assert_eq!(sink.calls, calls.len(), "every call was made to fail");
}

#[test]
fn a_body_that_cannot_be_read_is_told_with_its_path() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(flipslot::error::into_io(failed("the blob's digest is another", "push the image anew")))
        }
    }
    let layer = Tar::default().add(file("d/f", "x".repeat(2000))).unfinished();
    // In the header, in the body, in the padding, and after the last entry.
    for (length, place) in [
        (100, "reading the first entry"),
        (512, "writing /d/f"),
        (1500, "writing /d/f"),
        (2512, "reading the entry after /d/f"),
        (2560, "reading the entry after /d/f"),
    ] {
        let slot = sandbox();
        let stream = std::io::BufReader::new(std::io::Read::chain(&layer[..length], Broken));
        let error = slot.apply_within(&mut PLENTY.clone(), stream).unwrap_err();
        assert_eq!(format!("{error:#}"), format!("{place}: the blob's digest is another"));
        assert_eq!(flipslot::error::hint(&error), Some("push the image anew"));
    }
}
