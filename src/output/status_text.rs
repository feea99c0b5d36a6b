//! The text form of `status`, for people.

use crate::boot::ledger::Confirm;
use crate::boot::root_on::Keeps;
use crate::boot::slot_facts::SlotFacts;
use crate::output::document::Document;
use crate::output::fixes::fixes;
use crate::output::status::{SlotStatus, Status, Timed, way};
use crate::words::units::{Bytes, in_words};
use std::fmt::Write as _;

impl Document for Status {
    fn text(&self) -> String {
        let mut text = format!("{}: {}, {}\n", self.disk, Bytes(self.size), self.table);
        for slot in &self.slots {
            slot_lines(&mut text, self, slot);
        }
        if let Some(damage) = self.damage {
            let _ = writeln!(text, "  {damage}; the next command that changes this disk repairs it: flipslot cleanup");
        }
        if let Some(trial) = &self.trial {
            let _ = match trial.seconds_left {
                None => writeln!(text, "  this boot was a trial and is confirmed"),
                Some(left) => writeln!(
                    text,
                    "  this boot is a trial: {}, or it ends in {}",
                    if trial.confirm == Confirm::Auto {
                        "its health check confirms it"
                    } else {
                        "run flipslot confirm"
                    },
                    in_words(left)
                ),
            };
        }
        let _ = writeln!(text, "  the next reset {}", self.next_reset);
        if let Some(line) = downtime(self) {
            let _ = writeln!(text, "  {line}");
        }
        if let Some(run) = &self.run {
            let _ = writeln!(text, "{}", run.line());
        }
        if let Some(live) = &self.live {
            let _ = writeln!(text, "  root     {}\n{}", live.compared(), live.changes());
        }
        text
    }
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
    let SlotFacts { reference, digest, os, kernel, written, agent, hardware, initramfs_by, allowed, .. } = image;
    let _ = writeln!(text, "  slot {}  {os}, kernel {kernel}{marks}", slot.slot);
    let _ = writeln!(text, "          {reference}\n          {digest}\n          written {written}");
    if let Some(root) = &image.root {
        let keeps = match root.overlay {
            Keeps::Ram => "a restart is the image again",
            Keeps::Data => "what is written is kept in the data partition",
        };
        let _ = writeln!(text, "          root: one {} of {}; {keeps}", root.format.name(), Bytes(root.size));
    }
    let _ = writeln!(text, "          {}", in_brief(agent));
    let _ = writeln!(text, "          initramfs for {hardware}: {}", initramfs_by.in_words());
    *text += &fixes(image);
    if !allowed.is_empty() {
        let _ = writeln!(text, "          allowed findings: {}", allowed.join(" "));
    }
}

/// Describes the agent by the number of its files: "agent: 7 files".
fn in_brief(agent: &[String]) -> String {
    match agent.len() {
        0 => "no agent: no health check, no deadline".to_owned(),
        1 => "agent: 1 file".to_owned(),
        count => format!("agent: {count} files"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_takes_a_short_line_however_many_files_it_has() {
        let brief = |count: usize| in_brief(&vec!["/usr/lib/systemd/system/flipslot-health.service".to_owned(); count]);
        assert_eq!([brief(7), brief(1)], ["agent: 7 files", "agent: 1 file"]);
        assert!(brief(0).starts_with("no agent"));
    }
}
