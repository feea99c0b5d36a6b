//! `check` of an image needs no right that others lack, and leaves nothing.

use crate::check::sound;
use crate::support::program::Nobody;
use std::fs;

#[test]
fn an_image_is_checked_by_anybody() {
    let folder = tempfile::tempdir().unwrap();
    crate::check::case::write(folder.path(), &[], &sound::machine());
    let nobody = Nobody::in_folder(folder.path());
    let run =
        nobody.flipslot(&["check", "oci:image:1", "--hardware=machine.json", "--console=ttyS0", "--progress=none"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", run.stdout);
    assert!(run.stdout.contains("no open findings"), "{}", run.stdout);
    assert_eq!(fs::read_dir(&nobody.home).unwrap().count(), 0, "nothing is left");
}
