//! Sizes beyond 32 bits: what follows a file of more than 4 GiB is still found.

use crate::support::tar::{Tar, dir, file, odd, pax, record};
use flipslot::error::Result;
use flipslot::layer::entry::{Meta, Node};
use flipslot::layer::{Budget, LayerPath, RootSink, apply};
use std::io::{self, BufRead, BufReader, Read};

/// Counts what it is given, and keeps none of it.
#[derive(Default)]
struct Counting(Vec<(String, u64)>);

impl RootSink for Counting {
    fn begin_layer(&mut self) -> Result<()> {
        Ok(())
    }
    fn directory(&mut self, path: &LayerPath, _: &Meta) -> Result<()> {
        self.0.push((path.to_string(), 0));
        Ok(())
    }
    fn file(&mut self, path: &LayerPath, _: &Meta, body: &mut dyn BufRead) -> Result<()> {
        self.0.push((path.to_string(), io::copy(body, &mut io::sink())?));
        Ok(())
    }
    fn symlink(&mut self, _: &LayerPath, _: &Meta, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn hardlink(&mut self, _: &LayerPath, _: &LayerPath) -> Result<()> {
        Ok(())
    }
    fn node(&mut self, _: &LayerPath, _: &Meta, _: Node) -> Result<()> {
        Ok(())
    }
    fn whiteout(&mut self, _: &LayerPath) -> Result<()> {
        Ok(())
    }
    fn opaque(&mut self, _: &LayerPath) -> Result<()> {
        Ok(())
    }
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

#[test]
fn b17_files_across_2_4_and_8_gib_are_read_to_their_end() {
    for size in [(2 << 30) - 1, (2 << 30) + 1, (4 << 30) + 5, (8u64 << 30) + 513] {
        // Beyond eleven octal digits (8 GiB) PAX says the size, and ustar says 0.
        let big = if size > 8 << 30 {
            let said = pax(record("size", size.to_string()));
            Tar::default().add(said).add(odd(b'0', "big", "")).unfinished()
        } else {
            Tar::default().add(odd(b'0', "big", "").claiming(size.into())).unfinished()
        };
        let padding = io::repeat(0).take(size.next_multiple_of(512));
        let after = Tar::of([dir("d"), file("d/after", "x")]);
        let mut sink = Counting::default();
        let mut budget = Budget { bytes: u64::MAX, entries: 10 };
        let stream = io::Cursor::new(big).chain(padding).chain(io::Cursor::new(after));
        apply(BufReader::with_capacity(1 << 20, stream), &mut sink, &mut budget).unwrap_or_else(|e| panic!("{e:#}"));
        let expected = [("/big", size), ("/d", 0), ("/d/after", 1)].map(|(path, size)| (path.to_owned(), size));
        assert_eq!(sink.0, expected);
    }
}
