//! The text form of `status`, for people.

use crate::boot::ledger::Confirm;
use crate::boot::record::Mended;
use crate::output::status::{ImageStatus, SlotStatus, Status, Timed, way};
use crate::words::units::{Bytes, in_words};
use std::fmt::Write as _;

/// Formats a status for people.
pub fn render(status: &Status) -> String {
    let mut text = format!("{}: {}, {}\n", status.disk, Bytes(status.size), status.table);
    for slot in &status.slots {
        slot_lines(&mut text, status, slot);
    }
    if let Some(damage) = status.damage {
        let _ = writeln!(text, "  {damage}; the next command that changes this disk repairs it: flipslot cleanup");
    }
    if let Some(trial) = &status.trial {
        let _ = match trial.seconds_left {
            None => writeln!(text, "  this boot was a trial and is confirmed"),
            Some(left) => writeln!(
                text,
                "  this boot is a trial: {}, or it ends in {}",
                if trial.confirm == Confirm::Auto { "its health check confirms it" } else { "run flipslot confirm" },
                in_words(left)
            ),
        };
    }
    let _ = writeln!(text, "  the next reset {}", status.next_reset);
    if let Some(line) = downtime(status) {
        let _ = writeln!(text, "  {line}");
    }
    text
}

fn slot_lines(text: &mut String, status: &Status, slot: &SlotStatus) {
    let mut marks = Vec::new();
    if status.running == Some(slot.slot) {
        marks.push("runs");
    }
    if status.proven == slot.slot {
        marks.push("proven");
    }
    if status.wanted == slot.slot && status.next_boot == slot.slot && status.proven != slot.slot {
        marks.push("wanted");
    }
    let marks = if marks.is_empty() { String::new() } else { format!("  [{}]", marks.join(", ")) };
    let Some(image) = &slot.image else {
        let what = match slot.holds {
            "half" => "half written: flash it again",
            "damaged" => "damaged: flash it again",
            _ => "empty",
        };
        let _ = writeln!(text, "  slot {}  {what}{marks}", slot.slot);
        return;
    };
    let ImageStatus { reference, digest, os, kernel, written, agent, .. } = image;
    let ImageStatus { hardware, initramfs_by, mended, allowed, .. } = image;
    let _ = writeln!(text, "  slot {}  {os}, kernel {kernel}{marks}", slot.slot);
    let _ = writeln!(text, "          {reference}\n          {digest}\n          written {written}");
    let _ = match agent.is_empty() {
        true => writeln!(text, "          no agent: no health check, no deadline"),
        false => writeln!(text, "          agent: {}", agent.join(" ")),
    };
    let _ = writeln!(text, "          initramfs for {hardware}: {}", initramfs_by.in_words());
    for Mended { rule, done, .. } in mended {
        let _ = writeln!(text, "          fixed {rule}: {}", done.join("; "));
    }
    if !allowed.is_empty() {
        let _ = writeln!(text, "          allowed findings: {}", allowed.join(" "));
    }
}

/// Describes the last switch and the last firmware boot: "last switch: 6.1 s by kexec; a firmware boot took
/// 41 s".
fn downtime(status: &Status) -> Option<String> {
    let switch = status.last_switch.as_ref().map(|Timed { boot, downtime_seconds }| match downtime_seconds {
        Some(seconds) => format!("last switch: {seconds:.1} s {}, to slot {}", way(boot.by), boot.to),
        None => {
            let why = boot.failed.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let arrived = if status.running == Some(boot.to) { "is not confirmed yet" } else { "failed" };
            format!("last switch: {}, to slot {}, {arrived}{why}", way(boot.by), boot.to)
        }
    });
    let firmware = status.last_firmware_boot.as_ref().and_then(|timed| timed.downtime_seconds);
    let firmware = firmware.map(|seconds| format!("a firmware boot took {seconds:.0} s"));
    let both: Vec<String> = [switch, firmware].into_iter().flatten().collect();
    (!both.is_empty()).then(|| both.join("; "))
}
