//! What `check` has found, for people and as JSON (docs/check.md).

use crate::boot::drivers::Where;
use crate::boot::initramfs::MadeBy;
use crate::check::report::{DeviceReport, Finding, LONGEST, Outcome, Report, plain};
use crate::check::rule::{self, Rule, Severity};
use crate::check::subject::Subject;
use crate::commands::say::say;
use crate::error::{Result, failed};
use crate::slot::Slot;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Everything; the JSON form has this version.
#[derive(Debug, Serialize)]
pub struct Checked {
    version: u32,
    /// The image, or the slot.
    subject: String,
    machine: String,
    os: String,
    kernel: Option<String>,
    cmdline: String,
    initramfs_by: MadeBy,
    initramfs_why: String,
    #[serde(flatten)]
    report: Report,
    #[serde(skip)]
    what: What,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// An image, which is not written yet.
    Image,
    /// A slot that is.
    Slot(Slot),
}

impl Checked {
    /// Gathers it.
    pub fn new(what: What, name: String, subject: &Subject, (by, why): (MadeBy, String), report: Report) -> Checked {
        Checked {
            version: 1,
            subject: name,
            machine: subject.inventory.machine.clone(),
            os: subject.release.title().to_owned(),
            kernel: subject.kernel.as_ref().map(|kernel| kernel.version.clone()),
            cmdline: subject.cmdline.to_string(),
            initramfs_by: by,
            initramfs_why: why,
            report,
            what,
        }
    }

    /// Prints it: as one JSON document, or as text.
    pub fn print(&self, json: bool) -> Result<()> {
        say(&if json { serde_json::to_string_pretty(self)? + "\n" } else { self.text() })
    }

    /// Fails if something was found that is neither mended nor allowed.
    pub fn refuse_unclean(&self) -> Result<()> {
        let open: Vec<&Finding> = self.report.findings.iter().filter(|found| found.outcome == Outcome::Open).collect();
        if open.is_empty() {
            return Ok(());
        }
        let count = |severity| self.report.open(severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let flags = self.flags(open);
        let found = format!("{}, {}", counted(errors, "error"), counted(warnings, "warning"));
        let verdict = match errors {
            0 => format!("{} would come up on {}, but: {found}", self.subject, self.machine),
            _ => format!("{} would not come up on {}: {found}", self.subject, self.machine),
        };
        Err(failed(
            verdict,
            match self.what {
                What::Image if flags.is_empty() => "mend the image".to_owned(),
                What::Image => format!("mend the image; or have it mended or accepted as it is written:{flags}"),
                What::Slot(slot) => format!(
                    "write it again, for that machine: flipslot flash REFERENCE --slot {slot} --hardware MACHINE{flags}"
                ),
            },
        ))
    }

    /// What makes a flash mend or accept what stands: " --fix a,b --allow c".
    fn flags(&self, mut open: Vec<&Finding>) -> String {
        let is = |found: &Finding, what: fn(&Rule) -> bool| rule::named(found.rule).is_ok_and(what);
        // What is final is mended in the image alone.
        open.retain(|found| !is(found, Rule::is_final));
        if self.what != What::Image {
            // To write a slot again makes its initramfs anew.
            open.retain(|found| !is(found, Rule::is_mended_by_dracut));
        }
        let ids = |has_fix: bool| {
            let of = open.iter().filter(|found| found.fix.is_some() == has_fix);
            of.map(|found| found.rule).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")
        };
        let flag = |name: &str, ids: String| if ids.is_empty() { String::new() } else { format!(" {name} {ids}") };
        format!("{}{}", flag("--fix", ids(true)), flag("--allow", ids(false)))
    }

    fn text(&self) -> String {
        let kernel = plain(self.kernel.as_deref().unwrap_or("none"), LONGEST);
        let mut text = format!("{}: {}, kernel {kernel}, on {}\n", self.subject, self.os, self.machine);
        let by = self.initramfs_by.in_words();
        let _ = writeln!(text, "  initramfs: {by} ({})", self.initramfs_why);
        for Finding { rule, severity, found, why, fix, outcome } in &self.report.findings {
            let severity = match (outcome, severity) {
                (Outcome::Allowed, _) => "allowed",
                (Outcome::Mended, _) => "mended",
                (Outcome::Open, Severity::Error) => "error",
                (Outcome::Open, Severity::Warning) => "warning",
            };
            let _ = writeln!(text, "  {severity:<8} {rule}: {found}\n           {why}");
            if let Some(does) = fix {
                let _ = writeln!(text, "           --fix {rule} {does}");
            }
        }
        for DeviceReport { path, modalias, module, found, .. } in &self.report.devices {
            let module = module.as_deref().unwrap_or("-");
            let _ = writeln!(text, "  {:<14} {module:<16} {path} ({modalias})", place(*found));
        }
        if self.report.is_clean() {
            text.push_str("  nothing stands in its way\n");
        }
        text
    }
}

fn place(found: Where) -> &'static str {
    match found {
        Where::NotNeeded => "no driver",
        Where::BuiltIn => "built in",
        Where::Initramfs => "initramfs",
        Where::RootFilesystem => "root only",
        Where::Nowhere => "nowhere",
    }
}

/// "1 error", "2 errors".
fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
