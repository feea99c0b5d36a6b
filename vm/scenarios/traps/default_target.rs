//! `default.target` leads to a target that another image has.

use super::Trap;
use crate::images;
use crate::images::Put;

pub const LINK: Put = Put::Link("etc/systemd/system/default.target", "/usr/lib/systemd/system/appliance.target");

pub fn trap() -> Trap {
    Trap {
        name: "default-target",
        layout: images::with_layer(&images::layout("bookworm"), "default-target", &[LINK]),
        more: &[],
        rule: "default-target",
        found: "leads to /usr/lib/systemd/system/appliance.target, which is not there",
        sign: "You are in rescue mode",
    }
}

#[test]
fn a_default_target_that_leads_nowhere_ends_in_the_rescue_shell() {
    trap().is_found_and_is_real();
}
