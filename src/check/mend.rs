//! Mending what was found, as a slot is written.

use crate::boot::record::Mended;
use crate::check::report::{Outcome, Report};
use crate::check::rule::{How, Rule};
use crate::check::subject::Subject;
use crate::check::table::RULES;
use crate::error::Result;
use crate::filesystem::Root;
use anyhow::Context;

/// The rules of `report` that found something which shall be mended.
fn to_mend(report: &Report) -> impl Iterator<Item = (&'static Rule, How)> {
    let is_found =
        |rule: &Rule| report.findings.iter().any(|found| found.rule == rule.id && found.outcome == Outcome::Fixed);
    RULES.iter().filter(move |rule| is_found(rule)).filter_map(|rule| Some((rule, rule.fix.as_ref()?.how)))
}

/// The rules that shall be mended by making the filesystem again, as mended by what was `done`.
pub fn by_format(report: &Report, done: &str) -> Vec<Mended> {
    by(report, |how| matches!(how, How::Format), done)
}

/// The same, of those that shall be mended by a new initramfs.
pub fn by_dracut(report: &Report, done: &str) -> Vec<Mended> {
    by(report, |how| matches!(how, How::Dracut), done)
}

fn by(report: &Report, wanted: fn(&How) -> bool, done: &str) -> Vec<Mended> {
    let rules = to_mend(report).filter(|(_, how)| wanted(how));
    rules.map(|(rule, _)| Mended { rule: rule.id.to_owned(), done: vec![done.to_owned()], words: Vec::new() }).collect()
}

/// Mends files of the slot at `root`, and says which words the command line gets.
pub fn mend(report: &Report, subject: &Subject, root: &Root) -> Result<Vec<Mended>> {
    let mut mended = Vec::new();
    for (rule, how) in to_mend(report) {
        let (done, words) = match how {
            How::Files(change) => {
                let done = change(subject, root).with_context(|| format!("mending {}", rule.id))?;
                (done, Vec::new())
            }
            How::Words(add) => {
                let words = add(subject);
                (vec![format!("the command line has {}", words.join(" "))], words)
            }
            How::Dracut | How::Format => continue, // whoever makes them again says so
        };
        mended.push(Mended { rule: rule.id.to_owned(), done, words });
    }
    Ok(mended)
}
