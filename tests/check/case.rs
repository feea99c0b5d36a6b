//! One fault: the layers that make it, and what `check` must say of it, and of nothing else.

use crate::check::sound;
use crate::support::program::{Run, flipslot};
use crate::support::tar::Item;
use flipslot::check::rule::Severity;
use flipslot::check::table;
use serde_json::Value;
use std::path::Path;

/// A fault.
pub struct Case {
    /// The rule that finds it.
    pub rule: &'static str,
    /// What was done to the image.
    what: &'static str,
    layers: Vec<Vec<Item>>,
    machine: Value,
    words: Vec<String>,
    /// What the finding says.
    says: &'static str,
}

impl Case {
    /// A fault that one more layer makes.
    pub fn new(rule: &'static str, what: &'static str, layer: impl Into<Vec<Item>>, says: &'static str) -> Case {
        let words = vec!["--console=ttyS0".to_owned()];
        Case { rule, what, layers: vec![layer.into()], machine: sound::machine(), words, says }
    }

    /// The same with other words on the command line than `--console ttyS0`.
    pub fn words(mut self, words: &[&str]) -> Case {
        self.words = words.iter().map(ToString::to_string).collect();
        self
    }

    /// The same on a machine that was changed.
    pub fn machine(mut self, change: impl FnOnce(&mut Value)) -> Case {
        change(&mut self.machine);
        self
    }

    /// Runs `check` of it, as JSON, with more words.
    fn check(&self, folder: &Path, more: &[&str]) -> Run {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        check(folder, &[&words[..], more].concat())
    }

    /// Fails unless the rule finds it, as bad as the table says, no other rule finds anything, and whoever
    /// allows the rule gets through, if that is possible.
    pub fn must_be_found_alone(&self) {
        let (rule, what) = (self.rule, self.what);
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &self.layers, &self.machine);
        let run = self.check(folder.path(), &["--strict"]);
        assert_eq!(run.code, 1, "{rule}, {what}: {}{}", run.stdout, run.stderr);
        let findings = findings(&run);
        if table::named(rule).unwrap().severity == Severity::Warning {
            let passes = self.check(folder.path(), &[]);
            assert_eq!((passes.code, passes.stderr.as_str()), (0, ""), "{rule}, {what}: a warning alone passes");
            assert_eq!(passes.stdout, run.stdout, "and is listed");
        }
        assert!(!findings.is_empty(), "{rule}, {what}: nothing found");
        let known = table::named(rule).unwrap();
        // What dracut has made already, it does not make better.
        let is_own = run.stdout.contains("\"initramfs_by\": \"image\"");
        let is_mendable = known.fix.is_some() && (is_own || !known.is_fixed_by_remaking());
        for finding in &findings {
            assert_eq!(finding["rule"], rule, "{what}: {finding:#}");
            assert_eq!(finding["severity"], serde_json::to_value(known.severity).unwrap(), "{what}");
            assert_eq!(finding["outcome"], "open");
            assert_eq!(finding["fix"].is_string(), is_mendable, "{what}");
            assert_eq!(finding["why"], known.why);
        }
        let found = findings[0]["found"].as_str().unwrap();
        assert!(found.contains(self.says), "{rule}, {what}: '{}' is missing in '{found}'", self.says);
        let allow = format!("--allow={rule}");
        let allowed = self.check(folder.path(), &[&allow, "--strict"]);
        if known.is_final() {
            assert_eq!(allowed.code, 2, "{rule}, {what}: {}", allowed.stderr);
            return;
        }
        assert_eq!(allowed.code, 0, "{rule}, {what}: {}", allowed.stderr);
        assert!(allowed.stdout.contains("\"outcome\": \"allowed\""), "{what}: {}", allowed.stdout);
    }
}

/// Writes the sound image with `layers` on top, and the machine, into `folder`.
pub fn write(folder: &Path, layers: &[Vec<Item>], machine: &Value) {
    sound::image(layers).write(&folder.join("image"), "1");
    std::fs::write(folder.join("machine.json"), machine.to_string()).unwrap();
}

/// Runs `check --json` of what [`write()`] wrote.
pub fn check(folder: &Path, more: &[&str]) -> Run {
    let words = ["check", "oci:image:1", "--hardware=machine.json", "--progress=none", "--json"];
    flipslot(folder, &[&words[..], more].concat())
}

/// What a run of `check --json` found.
pub fn findings(run: &Run) -> Vec<Value> {
    let printed: Value = serde_json::from_str(&run.stdout)
        .unwrap_or_else(|error| panic!("{error}: no JSON: {}{}", run.stdout, run.stderr));
    printed["findings"].as_array().expect("findings are a list").clone()
}

/// Fails unless each of these is found, and nothing else.
pub fn all_must_be_found_alone(cases: Vec<Case>) {
    cases.iter().for_each(Case::must_be_found_alone);
}
