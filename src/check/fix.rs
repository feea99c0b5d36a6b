//! Fixes what the rules found, while a slot is written.

use crate::boot::record::Fixed;
use crate::check::report::{Outcome, Report};
use crate::check::rule::{How, Rule};
use crate::check::subject::{FixContext, Subject};
use crate::check::table::RULES;
use crate::error::Result;
use crate::root::edit::Edit;
use crate::words::printable::plain;
use anyhow::Context;
use std::collections::BTreeSet;

/// Returns the rules that found something to fix according to `report`, with the way to fix it.
fn to_fix(report: &Report) -> impl Iterator<Item = (&'static Rule, How)> {
    let is_found =
        |rule: &Rule| report.findings.iter().any(|found| found.rule == rule.id && found.outcome == Outcome::Fixed);
    RULES.iter().filter(move |rule| is_found(rule)).filter_map(|rule| Some((rule, rule.fix.as_ref()?.how)))
}

/// Returns the rules whose findings are fixed by making the filesystem again, each with what was `done`.
pub fn by_format(report: &Report, done: &str) -> Vec<Fixed> {
    by(report, |how| matches!(how, How::Format), done)
}

/// Like [`by_format`], but for the rules whose findings a new initramfs fixes.
pub fn by_remaking(report: &Report, done: &str) -> Vec<Fixed> {
    by(report, |how| matches!(how, How::Remake), done)
}

fn by(report: &Report, is_meant: fn(&How) -> bool, done: &str) -> Vec<Fixed> {
    let rules = to_fix(report).filter(|(_, how)| is_meant(how));
    rules.map(|(rule, _)| Fixed { rule: rule.id.to_owned(), done: vec![done.to_owned()], words: Vec::new() }).collect()
}

/// Fixes findings by words for the command line, and returns these by rule. [`by_files`] may depend on them:
/// it fixes the login at a console that was added.
pub fn by_words(report: &Report, subject: &Subject) -> Vec<Fixed> {
    let mut fixed = Vec::new();
    for (rule, how) in to_fix(report) {
        if let How::Words(add) = how {
            let words = add(subject);
            let done = vec![format!("the command line has {}", words.join(" "))];
            fixed.push(Fixed { rule: rule.id.to_owned(), done, words });
        }
    }
    fixed
}

/// Removes duplicates, and shortens the list to what a person reads and a record has room for: 8 texts of
/// about 200 bytes each.
fn shortened(mut done: Vec<String>) -> Vec<String> {
    const PLACES: usize = 4; // a record of 4 KiB holds the fixes under two keys
    let mut seen = BTreeSet::new();
    done.retain(|text| seen.insert(text.clone()));
    let more = done.len().saturating_sub(PLACES);
    done.truncate(PLACES);
    done.iter_mut().for_each(|text| *text = plain(text, 200));
    if more > 0 {
        done.push(format!("and {more} more"));
    }
    done
}

/// Fixes files of `root`, and returns what was done, by rule.
pub fn by_files(report: &Report, context: &FixContext, root: &mut dyn Edit) -> Result<Vec<Fixed>> {
    let mut fixed = Vec::new();
    for (rule, how) in to_fix(report) {
        if let How::Files(change) = how {
            let done = change(context, root).with_context(|| format!("fixing {}", rule.id))?;
            fixed.push(Fixed { rule: rule.id.to_owned(), done: shortened(done), words: Vec::new() });
        }
    }
    Ok(fixed)
}
