//! `check` of an image needs no right that others lack, and leaves nothing.

use crate::check::sound;
use crate::support::program::ended;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

#[test]
#[allow(clippy::disallowed_methods)] // tests start programs by themselves
fn an_image_is_checked_by_anybody() {
    /// No user of this machine.
    const NOBODY: u32 = 65534;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    crate::check::case::write(folder.path(), &[], &sound::machine());
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    // The build may lie where nobody else may look.
    let program = folder.path().join("flipslot");
    fs::copy(env!("CARGO_BIN_EXE_flipslot"), &program).unwrap();
    let user = NOBODY.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]).arg(&program);
    command.args(["check", "oci:image:1", "--hardware=machine.json", "--console=ttyS0", "--progress=none"]);
    let run = ended(command.current_dir(folder.path()).env("HOME", &home).env("TMPDIR", &home));
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", run.stdout);
    assert!(run.stdout.contains("no open findings"), "{}", run.stdout);
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0, "nothing is left");
}
