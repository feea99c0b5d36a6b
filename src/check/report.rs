//! The findings of the rules in a slot.

use crate::check::own_init;
use crate::check::policy::Policy;
use crate::check::rule::{Needs, Rule, Severity};
use crate::check::subject::Subject;
use crate::check::table::{RULES, named};
use crate::error;
use crate::error::{Kind, Result};
use crate::hardware::inventory::Role;
use crate::initramfs::firmware::Firmware;
use crate::kernel::drivers;
use crate::kernel::drivers::Where;
use crate::kernel::release::Release;
use crate::kernel::requirements::Missing;
use crate::words::printable::plain;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The most bytes that are kept of one finding, which is more than anybody reads.
pub const LONGEST: usize = 1000;
/// The most findings that are kept of one rule, which is more than anybody reads.
const PLACES_MAX: usize = 20;

/// The findings of all rules that ran, and the drivers of the machine's devices.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Findings, in the order of the rules.
    pub findings: Vec<Finding>,
    /// Devices of the machine, with their drivers.
    pub devices: Vec<DeviceReport>,
    /// Name of the machine.
    #[serde(skip)]
    machine: String,
    /// The os-release of the slot.
    #[serde(skip)]
    release: Release,
}

/// One finding of a rule.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Id of the rule, as on the command line.
    pub rule: &'static str,
    /// Severity of the rule.
    pub severity: Severity,
    /// The problem and its place in the slot, without control characters and cut to [`LONGEST`].
    pub found: String,
    /// Consequence for the slot: [`Rule::why`].
    pub why: &'static str,
    /// Effect of `--fix` for this rule; `None` if there is no fix.
    pub fix: Option<&'static str>,
    /// Treatment of the finding: open, allowed or fixed.
    pub outcome: Outcome,
}

impl Finding {
    fn is_same(&self, other: &Finding) -> bool {
        (self.rule, &self.found, self.outcome) == (other.rule, &other.found, other.outcome)
    }
}

/// Treatment of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Neither allowed nor fixed.
    Open,
    /// Accepted by the name of its rule (`--allow`).
    Allowed,
    /// Fixed while the slot is written (`--fix`).
    #[serde(rename = "mended")]
    Fixed,
}

/// A device, its driver, and the place in which the driver is.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceReport {
    /// Path of the device, as in the inventory.
    pub path: String,
    /// Modalias of the device, by which its driver is found.
    pub modalias: String,
    /// Need for the device: to boot, for the network, or possibly.
    pub role: Role,
    /// Module that drives the device; none if it needs none, or if the kernel has none for it.
    pub module: Option<String>,
    /// Place in which the driver is.
    pub found: Where,
    /// Firmware that the module may request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub firmware: Vec<Firmware>,
}

/// A choice of rules to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Rules about the files of an image, before an initramfs is made from them.
    Fresh,
    /// Rules about files that may have been changed since the image was unpacked.
    Files,
    /// Rules about the initramfs.
    Initramfs,
    /// Rules about a slot that is written, and that may have run.
    Slot,
    /// All rules, as for an image that is only checked.
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
    /// Runs the rules that `ask` includes. A rule that cannot judge the subject counts as a finding.
    pub fn of(subject: &Subject, ask: Ask, policy: &Policy) -> Result<Report> {
        let (machine, release) = (subject.inventory.machine.clone(), subject.release.clone());
        let mut report = Report { machine, release, devices: devices(subject), ..Report::default() };
        for rule in RULES.iter().filter(|rule| ask.includes(rule.needs)) {
            // A subject that cannot be judged may have any fault.
            let found = (rule.find)(subject).unwrap_or_else(|error| vec![format!("cannot be judged: {error:#}")]);
            report.findings.extend(found.into_iter().take(PLACES_MAX).map(|found| finding(rule, found, policy)));
        }
        // Do not offer a fix that would have no effect.
        let unfixable = |id: &str| named(id).is_ok_and(Rule::is_fixed_by_remaking) && !own_init::may_remake(subject);
        report.findings.iter_mut().filter(|found| unfixable(found.rule)).for_each(|found| found.fix = None);
        Ok(report)
    }

    /// Adds the findings of another stage of the same slot that this report does not have, and takes over the
    /// devices, the machine and the release of that stage.
    pub fn join(&mut self, other: Report) {
        let is_new = |found: &Finding| !self.findings.iter().any(|known| known.is_same(found));
        let new: Vec<Finding> = other.findings.into_iter().filter(is_new).collect();
        self.findings.extend(new);
        (self.devices, self.machine, self.release) = (other.devices, other.machine, other.release);
    }

    /// Adds the findings of `first` that were to be fixed and whose rules find nothing in this report, which
    /// was made after the fixes.
    pub fn after(mut self, first: Report) -> Report {
        let gone = |found: &Finding| self.findings.iter().all(|now| now.rule != found.rule);
        let fixed: Vec<Finding> =
            first.findings.into_iter().filter(|found| found.outcome == Outcome::Fixed && gone(found)).collect();
        self.findings.extend(fixed);
        self
    }

    /// Returns the open findings of this severity.
    pub fn open(&self, severity: Severity) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |found| found.severity == severity && found.outcome == Outcome::Open)
    }

    /// Returns every error, whether open, allowed or fixed.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|found| found.severity == Severity::Error)
    }

    /// Returns true if no finding is open, not even a warning.
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|found| found.outcome != Outcome::Open)
    }

    /// Returns each open warning that `before` does not have, as a line.
    pub fn warnings(&self, before: &Report) -> impl Iterator<Item = String> {
        let is_new = |found: &&Finding| !before.findings.iter().any(|known| known.is_same(found));
        let new = self.open(Severity::Warning).filter(is_new);
        new.map(|Finding { rule, found, why, .. }| format!("{found}: {why} [{rule}]"))
    }

    /// Returns the ids of the rules that found something and were allowed.
    pub fn allowed(&self) -> BTreeSet<&'static str> {
        self.findings.iter().filter(|found| found.outcome == Outcome::Allowed).map(|found| found.rule).collect()
    }

    /// Fails if an error is open, because `what` would not come up. `kind` is that of the error, `next` the
    /// hint where no rule has a better one.
    pub fn refuse_errors(&self, what: &str, kind: Kind, next: &str) -> Result<()> {
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
        let fixable = errors.iter().all(|found| found.fix.is_some());
        let is_final = errors.iter().any(|found| named(found.rule).is_ok_and(Rule::is_final));
        let ids: BTreeSet<&str> = errors.iter().map(|found| found.rule).collect();
        let ids = ids.into_iter().collect::<Vec<_>>().join(",");
        let next = match missing.dockerfile(&self.release) {
            Some(line) => format!("add to its Dockerfile:\n{line}"),
            None if is_final => next.to_owned(),
            None if fixable && kind != Kind::Refused => {
                format!("let flipslot fix it: --fix {ids}; or accept it: --allow {ids}")
            }
            None => format!("{next}; or accept it: --allow {ids}"),
        };
        Err(error::problem(kind, text, next))
    }
}

fn finding(rule: &Rule, found: String, policy: &Policy) -> Finding {
    let outcome = if policy.fixes(rule) {
        Outcome::Fixed
    } else if policy.allows(rule) {
        Outcome::Allowed
    } else {
        Outcome::Open
    };
    let fix = rule.fix.as_ref().map(|fix| fix.does);
    let found = plain(&found, LONGEST);
    Finding { rule: rule.id, severity: rule.severity, found, why: rule.why, fix, outcome }
}

/// Returns the machine's devices with their drivers; none if the modules of the kernel are missing.
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
