//! Sparse files, in each of the forms that GNU tar writes.

use crate::layers::sandbox;
use crate::support::program::tool;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

#[test]
fn sparse_files_of_every_form_have_the_bytes_that_were_packed() {
    let folder = tempfile::tempdir().unwrap();
    let (packed, layer) = (folder.path().join("packed"), folder.path().join("layer.tar"));
    fs::create_dir(&packed).unwrap();
    let holes = |name: &str, size: u64, parts: &[u64]| {
        let file = File::create(packed.join(name)).unwrap();
        file.set_len(size).unwrap();
        parts.iter().for_each(|at| file.write_all_at(format!("at {at}").as_bytes(), *at).unwrap());
    };
    holes("few", 3 << 20, &[0, 1 << 20]);
    // More than a header of the old form has room for, and than one block of the map of the new one.
    holes("many", 40 << 20, &(0..300).map(|n| n << 17).collect::<Vec<_>>());
    holes("nothing", 1 << 20, &[]);
    holes("to-the-end", (1 << 20) + 5, &[(1 << 20) - 7]);
    fs::write(packed.join("whole"), "whole").unwrap();
    let forms = [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ];
    for form in forms {
        let place = [packed.to_string_lossy(), layer.to_string_lossy()];
        tool(
            "tar",
            &[&["--create", "--sparse", "--file", &place[1], "--directory", &place[0]][..], form, &["."]].concat(),
        );
        let bytes = fs::read(&layer).unwrap();
        assert!(bytes.len() < 8 << 20, "{form:?}: the holes were packed");
        let slot = sandbox();
        slot.tree_of(&[bytes]);
        for name in ["few", "many", "nothing", "to-the-end", "whole"] {
            let (packed, written) = (fs::read(packed.join(name)).unwrap(), fs::read(slot.root().join(name)).unwrap());
            assert!(packed == written, "{form:?}: {name} is another one");
        }
    }
}
