//! `default.target` leads to a target that another image has.

use super::Trap;
use crate::images;
use crate::images::Put;

#[test]
fn a_default_target_that_leads_nowhere_ends_in_the_rescue_shell() {
    let link = Put::Link("etc/systemd/system/default.target", "/usr/lib/systemd/system/appliance.target");
    Trap {
        name: "default-target",
        layout: &images::with_layer("bookworm", "default-target", &[link]),
        more: &[],
        rule: "default-target",
        sign: "You are in rescue mode",
    }
    .is_found_is_real_and_is_mended("leads to /usr/lib/systemd/system/appliance.target, which is not there");
}
