//! The result of `check`, for people and as JSON (docs/check.md).

use crate::boot::initramfs_source::MadeBy;
use crate::boot::recorded::Recorded;
use crate::check::report::{DeviceReport, Finding, LONGEST, Outcome, Report};
use crate::check::rule::{Rule, Severity};
use crate::check::subject::Subject;
use crate::check::table;
use crate::error::{Result, failed};
use crate::kernel::drivers::Where;
use crate::output::document::Document;
use crate::words::printable::plain;
use crate::words::slot::Slot;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The result of a check; `version` is that of the JSON form.
#[derive(Debug, Serialize)]
pub struct Checked {
    version: u32,
    /// Name of the image or slot that was checked.
    subject: String,
    machine: String,
    os: String,
    kernel: Option<String>,
    cmdline: String,
    initramfs_by: Recorded<MadeBy>,
    initramfs_why: String,
    #[serde(flatten)]
    report: Report,
    #[serde(skip)]
    what: What,
}

/// Kind of subject that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// An image, which is not written yet.
    Image,
    /// A slot that is written.
    Slot(Slot),
}

/// Origin of the initramfs that boots.
pub struct Origin {
    /// Maker of the initramfs.
    pub by: Recorded<MadeBy>,
    /// Reason for it, for people.
    pub why: String,
}

/// Least severity of an open finding that makes a check fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailOn {
    /// Only errors: warnings are listed, and the check passes.
    Errors,
    /// Warnings as well as errors.
    Warnings,
}

impl FailOn {
    /// Returns what the flag `--strict` asks for.
    pub fn of(strict: bool) -> FailOn {
        if strict { FailOn::Warnings } else { FailOn::Errors }
    }
}

impl Checked {
    /// Gathers the result of a check.
    pub fn new(what: What, name: String, subject: &Subject, initramfs: Origin, report: Report) -> Checked {
        Checked {
            version: 1,
            subject: name,
            machine: subject.inventory.machine.clone(),
            os: subject.release.title().to_owned(),
            kernel: subject.kernel.as_ref().map(|kernel| kernel.version.clone()),
            cmdline: subject.cmdline.to_string(),
            initramfs_by: initramfs.by,
            initramfs_why: initramfs.why,
            report,
            what,
        }
    }

    /// Fails if a finding of a severity that counts is neither fixed nor allowed.
    pub fn refuse(&self, fail_on: FailOn) -> Result<()> {
        let warnings = self.report.open(Severity::Warning).filter(|_| fail_on == FailOn::Warnings);
        let open: Vec<&Finding> = self.report.open(Severity::Error).chain(warnings).collect();
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
                What::Image if flags.is_empty() => "fix the image".to_owned(),
                What::Image => format!("fix the image; or have it fixed or accepted when it is written:{flags}"),
                What::Slot(slot) => format!(
                    "write it again, for that machine: flipslot flash REFERENCE --slot {slot} --hardware MACHINE{flags}"
                ),
            },
        ))
    }

    /// Returns the flags with which a flash fixes or accepts the open findings: " --fix a,b --allow c".
    fn flags(&self, mut open: Vec<&Finding>) -> String {
        let is = |found: &Finding, what: fn(&Rule) -> bool| table::named(found.rule).is_ok_and(what);
        // A final finding can only be fixed in the image.
        open.retain(|found| !is(found, Rule::is_final));
        if self.what != What::Image {
            // Writing a slot again makes a new initramfs in any case.
            open.retain(|found| !is(found, Rule::is_fixed_by_remaking));
        }
        let ids = |has_fix: bool| {
            let of = open.iter().filter(|found| found.fix.is_some() == has_fix);
            of.map(|found| found.rule).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")
        };
        let flag = |name: &str, ids: String| if ids.is_empty() { String::new() } else { format!(" {name} {ids}") };
        format!("{}{}", flag("--fix", ids(true)), flag("--allow", ids(false)))
    }
}

impl Document for Checked {
    fn text(&self) -> String {
        let kernel = plain(self.kernel.as_deref().unwrap_or("none"), LONGEST);
        let mut text = format!("{}: {}, kernel {kernel}, on {}\n", self.subject, self.os, self.machine);
        let by = self.initramfs_by.in_words();
        let _ = writeln!(text, "  initramfs: {by} ({})", self.initramfs_why);
        for Finding { rule, severity, found, why, fix, outcome } in &self.report.findings {
            let severity = match (outcome, severity) {
                (Outcome::Allowed, _) => "allowed",
                (Outcome::Fixed, _) => "fixed",
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
            text.push_str("  no open findings\n");
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

/// Formats a count with its noun: "1 error", "2 errors".
fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
