//! One of the user's own health checks fails.

use super::ends_on_a;
use crate::disks;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_health_check_that_fails_ends_on_the_slot_that_worked() {
    let prepare = |disk: &_| {
        disks::edit(disk, 'b', |root| {
            let checks = root.join("etc/flipslot/health.d");
            fs::create_dir_all(&checks).expect("the slot can be written");
            let check = checks.join("10-database");
            fs::write(&check, "#!/bin/sh\necho 'the database does not answer' >&2\nexit 1\n").expect("a small file");
            fs::set_permissions(&check, Permissions::from_mode(0o755)).expect("it is ours");
        });
    };
    ends_on_a("unhealthy", prepare, "flipslot switch --slot b --by kexec", "the database does not answer");
}
