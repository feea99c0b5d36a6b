//! The image is a container's: nobody logs in there, so its gettys are masked.

use super::Trap;
use crate::images;
use crate::images::Put;

/// Says whether the console has its getty when all that is to start has started, or has not.
const WITNESS: &str = "\
[Unit]
After=dbus.service
[Service]
ExecStart=/bin/sh -c 'systemctl is-system-running --wait; echo \"the getty is $$(systemctl is-active serial-getty@ttyS0)\" >/dev/console'
";

/// Links that mask the getty of every console.
pub const MASKS: [Put; 2] = [
    Put::Link("etc/systemd/system/serial-getty@.service", "/dev/null"),
    Put::Link("etc/systemd/system/getty@.service", "/dev/null"),
];

pub fn trap() -> Trap {
    let witness = Put::File("etc/systemd/system/witness.service", WITNESS.into());
    let wanted = Put::Link("etc/systemd/system/multi-user.target.wants/witness.service", "../witness.service");
    Trap {
        name: "getty",
        layout: images::with_layer(&images::layout("bookworm"), "getty", &[&MASKS[..], &[witness, wanted]].concat()),
        more: &[],
        rule: "getty",
        found: "serial-getty@.service is masked",
        sign: "the getty is inactive",
    }
}

#[test]
fn masked_gettys_leave_a_console_at_which_nobody_can_log_in() {
    trap().is_found_and_is_real();
}
