//! What the rules have found in a slot.

use crate::boot::drivers::{self, Where};
use crate::boot::firmware::Firmware;
use crate::boot::release::Release;
use crate::boot::requirements::Missing;
use crate::check::rule::{self, Needs, Policy, Rule, Severity};
use crate::check::subject::Subject;
use crate::check::table::RULES;
use crate::error::{self, Kind, Result};
use crate::hardware::inventory::Role;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// More bytes than anybody reads of one finding.
pub const LONGEST: usize = 1000;
/// More places than anybody reads of one rule.
const PLACES_MAX: usize = 20;

/// Everything that was found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// What the rules found, in their order.
    pub findings: Vec<Finding>,
    /// What drives each device of the machine.
    pub devices: Vec<DeviceReport>,
    /// What the machine is called.
    #[serde(skip)]
    machine: String,
    /// Which system it is.
    #[serde(skip)]
    release: Release,
}

/// One thing that was found.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The rule's id.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it is, and where.
    pub found: String,
    /// What it leads to.
    pub why: &'static str,
    /// What `--fix` would do, if it can do something.
    pub fix: Option<&'static str>,
    /// What became of it.
    pub outcome: Outcome,
}

impl Finding {
    fn is_same(&self, other: &Finding) -> bool {
        (self.rule, &self.found, self.outcome) == (other.rule, &other.found, other.outcome)
    }
}

/// What became of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It stands.
    Open,
    /// It was accepted by name (`--allow`).
    Allowed,
    /// It is mended as the slot is written (`--fix`).
    Mended,
}

/// A device, its driver, and where that is.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceReport {
    /// Where the device is.
    pub path: String,
    /// What it says it is.
    pub modalias: String,
    /// What it is needed for.
    pub role: Role,
    /// The module; none if it needs none, or if the kernel has none for it.
    pub module: Option<String>,
    /// Where that is.
    pub found: Where,
    /// What it may ask for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub firmware: Vec<Firmware>,
}

/// Which rules are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Those about files that an image brings, before an initramfs is made of them.
    Fresh,
    /// Those about files that may have been written since.
    Files,
    /// Those about the initramfs.
    Initramfs,
    /// Those about a slot that is written, and may have run.
    Slot,
    /// All of them.
    All,
}

impl Ask {
    fn includes(self, needs: Needs) -> bool {
        match self {
            Ask::Fresh => needs != Needs::Initramfs,
            Ask::Files => needs == Needs::Files,
            Ask::Initramfs => needs == Needs::Initramfs,
            Ask::Slot => needs != Needs::FreshFiles,
            Ask::All => true,
        }
    }
}

impl Report {
    /// Asks the rules about a subject.
    pub fn of(subject: &Subject, ask: Ask, policy: &Policy) -> Result<Report> {
        let (machine, release) = (subject.inventory.machine.clone(), subject.release.clone());
        let mut report = Report { machine, release, devices: devices(subject), ..Report::default() };
        for rule in RULES.iter().filter(|rule| ask.includes(rule.needs)) {
            // What cannot be judged may be anything.
            let found = (rule.find)(subject).unwrap_or_else(|error| vec![format!("it cannot be judged: {error:#}")]);
            report.findings.extend(found.into_iter().take(PLACES_MAX).map(|found| finding(rule, found, policy)));
        }
        // What no mend reaches is offered none.
        let unmendable = |id: &str| rule::named(id).is_ok_and(Rule::is_mended_by_dracut) && !subject.may_remake();
        report.findings.iter_mut().filter(|found| unmendable(found.rule)).for_each(|found| found.fix = None);
        Ok(report)
    }

    /// Adds what was found at another stage of the same slot, and not at this one.
    pub fn join(&mut self, other: Report) {
        let is_new = |found: &Finding| !self.findings.iter().any(|known| known.is_same(found));
        let new: Vec<Finding> = other.findings.into_iter().filter(is_new).collect();
        self.findings.extend(new);
        (self.devices, self.machine, self.release) = (other.devices, other.machine, other.release);
    }

    /// Adds what `first` found to be mended and this one, which looked after that, does not find.
    pub fn after(mut self, first: Report) -> Report {
        let gone = |found: &Finding| self.findings.iter().all(|now| now.rule != found.rule);
        let mended: Vec<Finding> =
            first.findings.into_iter().filter(|found| found.outcome == Outcome::Mended && gone(found)).collect();
        self.findings.extend(mended);
        self
    }

    /// What stands of this severity.
    pub fn open(&self, severity: Severity) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |found| found.severity == severity && found.outcome == Outcome::Open)
    }

    /// Every error, whatever became of it.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|found| found.severity == Severity::Error)
    }

    /// Whether nothing stands, not even a warning.
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|found| found.outcome != Outcome::Open)
    }

    /// Each warning that stands and that `before` did not have, as a line.
    pub fn warnings(&self, before: &Report) -> impl Iterator<Item = String> {
        let is_new = |found: &&Finding| !before.findings.iter().any(|known| known.is_same(found));
        let new = self.open(Severity::Warning).filter(is_new);
        new.map(|Finding { rule, found, why, .. }| format!("{found}: {why} [{rule}]"))
    }

    /// The rules that were allowed, and found something.
    pub fn allowed(&self) -> BTreeSet<&'static str> {
        self.findings.iter().filter(|found| found.outcome == Outcome::Allowed).map(|found| found.rule).collect()
    }

    /// Fails if an error stands: `what` would not come up. `next` is what to do where no rule knows it.
    pub fn refuse_errors(&self, what: &str, (kind, next): (Kind, &str)) -> Result<()> {
        let errors: Vec<&Finding> = self.open(Severity::Error).collect();
        if errors.is_empty() {
            return Ok(());
        }
        let mut text = format!("{what} would not come up on {}:", self.machine);
        for Finding { rule, found, why, .. } in &errors {
            let _ = write!(text, "\n    {found}: {why} [{rule}]");
        }
        let is = |id: &str| errors.iter().any(|found| found.rule == id);
        let missing = Missing { kernel: is("kernel-missing"), init: is("init-missing"), dracut: is("dracut-missing") };
        let mendable = errors.iter().all(|found| found.fix.is_some());
        let is_final = errors.iter().any(|found| rule::named(found.rule).is_ok_and(Rule::is_final));
        let ids: BTreeSet<&str> = errors.iter().map(|found| found.rule).collect();
        let ids = ids.into_iter().collect::<Vec<_>>().join(",");
        let next = match missing.dockerfile(&self.release) {
            Some(line) => format!("add to its Dockerfile:\n{line}"),
            None if is_final => next.to_owned(),
            None if mendable && kind != Kind::Refused => {
                format!("let flipslot mend it: --fix {ids}; or go on with it: --allow {ids}")
            }
            None => format!("{next}; or go on with it: --allow {ids}"),
        };
        Err(error::problem(kind, text, next))
    }
}

fn finding(rule: &Rule, found: String, policy: &Policy) -> Finding {
    let outcome = if policy.fixes(rule) {
        Outcome::Mended
    } else if policy.allows(rule) {
        Outcome::Allowed
    } else {
        Outcome::Open
    };
    let fix = rule.fix.as_ref().map(|fix| fix.does);
    let found = plain(&found, LONGEST);
    Finding { rule: rule.id, severity: rule.severity, found, why: rule.why, fix, outcome }
}

/// A text with names of an image in it, which can hold anything, as it can be shown: no control
/// characters, and about `most` bytes.
pub fn plain(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if shown.len() >= most {
            shown.push_str(" ...");
            break;
        }
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// What drives each device.
fn devices(subject: &Subject) -> Vec<DeviceReport> {
    let Some(modules) = &subject.modules else { return Vec::new() };
    let initramfs = subject.initramfs_modules().unwrap_or_default();
    let report = |need: drivers::Need| {
        let (found, module) = need.driver.place(modules, &initramfs);
        let drivers::Need { device, .. } = need;
        DeviceReport {
            path: device.path.clone(),
            modalias: device.modalias.clone(),
            role: device.role,
            module: module.map(ToOwned::to_owned),
            found,
            firmware: module.map(|module| subject.firmware(module)).unwrap_or_default(),
        }
    };
    drivers::needs(subject.inventory, modules).into_iter().map(report).collect()
}
