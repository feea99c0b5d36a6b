//! A rule: what it looks for, how severe that is, why it matters, and how it is fixed.

use crate::check::subject::{FixContext, Subject};
use crate::error::Result;
use crate::root::edit::Edit;
use serde::Serialize;

/// One way in which a slot fails to come up, or comes up with a fault.
#[derive(Debug)]
pub struct Rule {
    /// Name of the rule on the command line and in JSON.
    pub id: &'static str,
    /// Severity of every finding.
    pub severity: Severity,
    /// Part of the slot that must be known to judge it.
    pub needs: Needs,
    /// Consequence for a slot with such a finding, in a clause.
    pub why: &'static str,
    /// Fix that flipslot has, if any.
    pub fix: Option<Fix>,
    /// Examines a subject; returns a text for each finding.
    pub find: fn(&Subject) -> Result<Vec<String>>,
}

impl Rule {
    /// Returns true if a new initramfs fixes the findings.
    pub fn is_fixed_by_remaking(&self) -> bool {
        self.fix.as_ref().is_some_and(|fix| matches!(fix.how, How::Remake))
    }

    /// Returns true if no slot can be written in spite of a finding.
    pub fn is_final(&self) -> bool {
        FINAL.contains(&self.id)
    }
}

/// Rules whose findings leave nothing that a boot entry could name.
const FINAL: [&str; 3] = ["kernel-missing", "kernel-several", "dracut-missing"];

/// Severity of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The slot does not come up, or nobody can log in.
    Error,
    /// The slot comes up, but something is not as it should be.
    Warning,
}

/// Part of a slot that a rule examines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Files of an image as its layers made them: a system that comes up later writes its own.
    FreshFiles,
    /// Files of a slot, at any time.
    Files,
    /// Initramfs that the slot boots with.
    Initramfs,
}

/// A fix for the findings of a rule.
#[derive(Debug)]
pub struct Fix {
    /// Effect of the fix, as a clause after "--fix RULE ".
    pub does: &'static str,
    /// Kind of the fix, with its code.
    pub how: How,
}

/// Kind of a fix.
#[derive(Debug, Clone, Copy)]
pub enum How {
    /// Changes files of the slot; returns a text for each change.
    Files(fn(&FixContext, &mut dyn Edit) -> Result<Vec<String>>),
    /// Adds words to the kernel's command line.
    Words(fn(&Subject) -> Vec<String>),
    /// Makes a new initramfs, where the image's own would have been taken.
    Remake,
    /// Makes the filesystem again, with default options and only with features that the slot's kernel knows.
    Format,
}
