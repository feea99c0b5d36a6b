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

#[test]
fn masked_gettys_leave_a_console_at_which_nobody_can_log_in() {
    let folder = "etc/systemd/system";
    let [serial, screen] = ["serial-getty@", "getty@"].map(|name| format!("{folder}/{name}.service"));
    let wanted = format!("{folder}/multi-user.target.wants/witness.service");
    let puts = [
        Put::Link(&serial, "/dev/null"),
        Put::Link(&screen, "/dev/null"),
        Put::File(&format!("{folder}/witness.service"), WITNESS.into()),
        Put::Link(&wanted, "../witness.service"),
    ];
    Trap {
        name: "getty",
        layout: &images::with_layer("bookworm", "getty", &puts),
        more: &[],
        rule: "getty",
        sign: "the getty is inactive",
    }
    .is_found_is_real_and_is_mended("serial-getty@.service is masked");
}
