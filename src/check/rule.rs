//! A rule: what is looked for, how bad it is, why it matters, and how it is mended.

use crate::check::subject::Subject;
use crate::check::table::RULES;
use crate::error::{Result, usage};
use crate::filesystem::Root;
use serde::Serialize;

/// One way in which a slot does not come up, or not as it should.
#[derive(Debug)]
pub struct Rule {
    /// What it is called on the command line and in JSON.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What must be known to judge it.
    pub needs: Needs,
    /// What happens to a slot that has it, in a sentence.
    pub why: &'static str,
    /// How flipslot mends it, if it can.
    pub fix: Option<Fix>,
    /// Looks for it; a text for each place where it is.
    pub find: fn(&Subject) -> Result<Vec<String>>,
}

impl Rule {
    /// Whether a new initramfs mends it.
    pub fn is_mended_by_dracut(&self) -> bool {
        self.fix.as_ref().is_some_and(|fix| matches!(fix.how, How::Dracut))
    }

    /// Whether nothing can be written in spite of it.
    pub fn is_final(&self) -> bool {
        FINAL.contains(&self.id)
    }
}

/// Without these there is nothing that an entry could name.
const FINAL: [&str; 3] = ["kernel-missing", "kernel-several", "dracut-missing"];

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The slot does not come up, or nobody gets into it.
    Error,
    /// It comes up, and something is not as it should be.
    Warning,
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Files of an image, as its layers made them: what comes up later writes them itself.
    FreshFiles,
    /// Files of a slot, whenever.
    Files,
    /// The initramfs that it boots with.
    Initramfs,
}

/// A mend.
#[derive(Debug)]
pub struct Fix {
    /// What it does, to follow "--fix RULE ".
    pub does: &'static str,
    /// How.
    pub how: How,
}

/// The kinds of mends.
#[derive(Debug, Clone, Copy)]
pub enum How {
    /// It changes files of the slot; returns what it did, a text for each.
    Files(fn(&Subject, &Root) -> Result<Vec<String>>),
    /// It adds words to the kernel's command line.
    Words(fn(&Subject) -> Vec<String>),
    /// The image's own dracut makes the initramfs, where the image's own would have been taken.
    Dracut,
    /// The filesystem is made again, with features that every kernel and GRUB read.
    Format,
}

/// The rule that is called `id`.
pub fn named(id: &str) -> Result<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id).ok_or_else(|| {
        let all: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        usage(format!("there is no rule '{}'", id.escape_debug()), format!("the rules are: {}", all.join(" ")))
    })
}

/// What to do about what is found.
#[derive(Debug, Default, Clone)]
pub struct Policy {
    fix: Vec<&'static str>,
    allow: Vec<&'static str>,
}

impl Policy {
    /// Reads the names of rules; each text may hold several, with commas between them. A rule that has
    /// no mend cannot be asked for one.
    pub fn new(fix: &[String], allow: &[String]) -> Result<Policy> {
        let names = |texts: &[String]| -> Result<Vec<&'static Rule>> {
            let words = texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|word| !word.is_empty());
            words.map(named).collect()
        };
        let fix = names(fix)?;
        if let Some(rule) = fix.iter().find(|rule| rule.fix.is_none()) {
            let all: Vec<&str> = RULES.iter().filter(|rule| rule.fix.is_some()).map(|rule| rule.id).collect();
            let found = format!("flipslot cannot mend '{}': {}", rule.id, rule.why);
            return Err(usage(found, format!("mend the image; these can be mended: {}", all.join(" "))));
        }
        let allow = names(allow)?;
        if let Some(rule) = allow.iter().find(|rule| rule.is_final()) {
            let found = format!("'{}' cannot be allowed: {}", rule.id, rule.why);
            return Err(usage(found, "mend the image"));
        }
        let ids = |rules: Vec<&'static Rule>| rules.into_iter().map(|rule| rule.id).collect();
        Ok(Policy { fix: ids(fix), allow: ids(allow) })
    }

    /// The same, where more was allowed before. A rule that there is no more is none.
    pub fn allowing(&self, more: &[String]) -> Policy {
        let mut policy = self.clone();
        policy.allow.extend(more.iter().filter_map(|id| named(id).ok()).map(|rule| rule.id));
        policy
    }

    /// The same, after what can be mended was mended: what is found now, stands.
    pub fn after_mending(&self) -> Policy {
        Policy { fix: Vec::new(), allow: self.allow.clone() }
    }

    /// The same, where it is settled who makes the initramfs: what is found in it, stands.
    pub fn without_dracut(&self) -> Policy {
        let is_kept = |id: &&'static str| !RULES.iter().any(|rule| rule.id == *id && rule.is_mended_by_dracut());
        Policy { fix: self.fix.iter().copied().filter(is_kept).collect(), allow: self.allow.clone() }
    }

    /// Whether what this rule finds shall be mended.
    pub fn fixes(&self, rule: &Rule) -> bool {
        self.fix.contains(&rule.id)
    }

    /// Whether what this rule finds is accepted.
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
        assert!(format!("{error:#}").contains("cannot mend 'login'"), "{error:#}");
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
