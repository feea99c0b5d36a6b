//! Decisions on what the rules find: fix it, accept it, or refuse.

use crate::check::rule::Rule;
use crate::check::table::RULES;
use crate::check::table::named;
use crate::error::{Result, usage};

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
    pub fn after_fixing(&self) -> Policy {
        Policy { fix: Vec::new(), allow: self.allow.clone() }
    }

    /// Returns this policy without fixes by a new initramfs, for use once the maker of the initramfs is
    /// chosen: what is found in it then is not fixed.
    pub fn without_remaking(&self) -> Policy {
        let is_kept = |id: &&'static str| !RULES.iter().any(|rule| rule.id == *id && rule.is_fixed_by_remaking());
        Policy { fix: self.fix.iter().copied().filter(is_kept).collect(), allow: self.allow.clone() }
    }

    /// Returns true if no finding is to be fixed.
    pub fn fixes_nothing(&self) -> bool {
        self.fix.is_empty()
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
}
