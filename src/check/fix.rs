//! Fixes what the rules found, while a slot is written.

use crate::boot::record::Mended;
use crate::check::report::{Outcome, Report, plain};
use crate::check::rule::{How, Rule};
use crate::check::subject::Subject;
use crate::check::table::RULES;
use crate::error::Result;
use crate::root::mounted::directory::Root;
use anyhow::Context;
use std::collections::BTreeSet;

/// Returns the rules that found something to fix according to `report`, with the way to fix it.
fn to_mend(report: &Report) -> impl Iterator<Item = (&'static Rule, How)> {
    let is_found =
        |rule: &Rule| report.findings.iter().any(|found| found.rule == rule.id && found.outcome == Outcome::Mended);
    RULES.iter().filter(move |rule| is_found(rule)).filter_map(|rule| Some((rule, rule.fix.as_ref()?.how)))
}

/// Returns the rules whose findings are fixed by making the filesystem again, each with what was `done`.
pub fn by_format(report: &Report, done: &str) -> Vec<Mended> {
    by(report, |how| matches!(how, How::Format), done)
}

/// Like [`by_format`], but for the rules whose findings a new initramfs fixes.
pub fn by_dracut(report: &Report, done: &str) -> Vec<Mended> {
    by(report, |how| matches!(how, How::Dracut), done)
}

fn by(report: &Report, wanted: fn(&How) -> bool, done: &str) -> Vec<Mended> {
    let rules = to_mend(report).filter(|(_, how)| wanted(how));
    rules.map(|(rule, _)| Mended { rule: rule.id.to_owned(), done: vec![done.to_owned()], words: Vec::new() }).collect()
}

/// Fixes findings by words for the command line, and returns these by rule. [`by_files`] may depend on them:
/// it fixes the login at a console that was added.
pub fn by_words(report: &Report, subject: &Subject) -> Vec<Mended> {
    let mut mended = Vec::new();
    for (rule, how) in to_mend(report) {
        if let How::Words(add) = how {
            let words = add(subject);
            let done = vec![format!("the command line has {}", words.join(" "))];
            mended.push(Mended { rule: rule.id.to_owned(), done, words });
        }
    }
    mended
}

/// Removes duplicates, and shortens the list to what a person reads and a record has room for: 8 texts of
/// about 200 bytes each.
fn told(mut done: Vec<String>) -> Vec<String> {
    const PLACES: usize = 8;
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

/// Fixes files of the slot at `root`, and returns what was done, by rule.
pub fn by_files(report: &Report, subject: &Subject, root: &Root) -> Result<Vec<Mended>> {
    let mut mended = Vec::new();
    for (rule, how) in to_mend(report) {
        if let How::Files(change) = how {
            let done = change(subject, root).with_context(|| format!("fixing {}", rule.id))?;
            mended.push(Mended { rule: rule.id.to_owned(), done: told(done), words: Vec::new() });
        }
    }
    Ok(mended)
}
