//! A rule: what it looks for, how severe that is, why it matters, and how it is fixed.

use crate::check::subject::Subject;
use crate::check::table::RULES;
use crate::error::{Result, usage};
use crate::filesystem::Root;
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
    pub fn is_mended_by_dracut(&self) -> bool {
        self.fix.as_ref().is_some_and(|fix| matches!(fix.how, How::Dracut))
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
    Files(fn(&Subject, &Root) -> Result<Vec<String>>),
    /// Adds words to the kernel's command line.
    Words(fn(&Subject) -> Vec<String>),
    /// Makes an initramfs with the image's dracut, where the image's own initramfs would have been taken.
    Dracut,
    /// Makes the filesystem again, with default options and only with features that the slot's kernel knows.
    Format,
}

/// Returns the rule with this id, or a usage error that lists all ids.
pub fn named(id: &str) -> Result<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id).ok_or_else(|| {
        let all: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        usage(format!("there is no rule '{}'", id.escape_debug()), format!("the rules are: {}", all.join(" ")))
    })
}

/// The user's decisions on findings: rules to fix, and rules to allow.
#[derive(Debug, Default, Clone)]
pub struct Policy {
    fix: Vec<&'static str>,
    allow: Vec<&'static str>,
}

impl Policy {
    /// Reads ids of rules; each text may hold several, separated by commas. Refuses to fix a rule that has no
    /// fix, and to allow one without which nothing can be written.
    pub fn new(fix: &[String], allow: &[String]) -> Result<Policy> {
        let names = |texts: &[String]| -> Result<Vec<&'static Rule>> {
            let words = texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|word| !word.is_empty());
            words.map(named).collect()
        };
        let fix = names(fix)?;
        if let Some(rule) = fix.iter().find(|rule| rule.fix.is_none()) {
            let all: Vec<&str> = RULES.iter().filter(|rule| rule.fix.is_some()).map(|rule| rule.id).collect();
            let found = format!("flipslot cannot fix '{}': {}", rule.id, rule.why);
            return Err(usage(found, format!("fix the image; these rules can be fixed: {}", all.join(" "))));
        }
        let allow = names(allow)?;
        if let Some(rule) = allow.iter().find(|rule| rule.is_final()) {
            let found = format!("'{}' cannot be allowed: {}", rule.id, rule.why);
            return Err(usage(found, "fix the image"));
        }
        let ids = |rules: Vec<&'static Rule>| rules.into_iter().map(|rule| rule.id).collect();
        Ok(Policy { fix: ids(fix), allow: ids(allow) })
    }

    /// Returns this policy with more rules allowed. Ids that this version does not know are ignored.
    pub fn allowing(&self, more: &[String]) -> Policy {
        let mut policy = self.clone();
        policy.allow.extend(more.iter().filter_map(|id| named(id).ok()).map(|rule| rule.id));
        policy
    }

    /// Returns this policy without fixes, for use after they were applied: what is found then is not fixed
    /// again.
    pub fn after_mending(&self) -> Policy {
        Policy { fix: Vec::new(), allow: self.allow.clone() }
    }

    /// Returns this policy without fixes by a new initramfs, for use once the maker of the initramfs is
    /// chosen: what is found in it then is not fixed.
    pub fn without_dracut(&self) -> Policy {
        let is_kept = |id: &&'static str| !RULES.iter().any(|rule| rule.id == *id && rule.is_mended_by_dracut());
        Policy { fix: self.fix.iter().copied().filter(is_kept).collect(), allow: self.allow.clone() }
    }

    /// Returns true if the findings of this rule are to be fixed.
    pub fn fixes(&self, rule: &Rule) -> bool {
        self.fix.contains(&rule.id)
    }

    /// Returns true if the findings of this rule are accepted.
    pub fn allows(&self, rule: &Rule) -> bool {
        self.allow.contains(&rule.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind;

    #[test]
    fn rules_are_named_one_by_one_or_with_commas() {
        let policy = Policy::new(&["default-target,getty".into()], &["fstab".into(), "login".into()]).unwrap();
        let is = |id: &str| (policy.fixes(named(id).unwrap()), policy.allows(named(id).unwrap()));
        assert_eq!([is("getty"), is("login"), is("init")], [(true, false), (false, true), (false, false)]);
        assert_eq!(kind(&Policy::new(&[], &["no-such".into()]).unwrap_err()).exit_code(), 2);
        let error = Policy::new(&["login".into()], &[]).unwrap_err();
        assert!(format!("{error:#}").contains("cannot fix 'login'"), "{error:#}");
        assert_eq!(kind(&Policy::new(&[], &["kernel-missing".into()]).unwrap_err()).exit_code(), 2);
        let later = Policy::default().allowing(&["login".into(), "of-another-version".into()]);
        assert!(later.allows(named("login").unwrap()) && !later.allows(named("init").unwrap()));
    }

    #[test]
    fn each_rule_has_its_own_name_in_plain_words() {
        let mut ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        assert!(ids.iter().all(|id| id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')), "{ids:?}");
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), RULES.len());
    }
}
