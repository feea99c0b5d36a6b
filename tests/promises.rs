//! docs/promises.md names a test for each promise, and each of them exists.

use std::fs;
use std::path::Path;

/// Returns what is wrong with the table rows of `page`: a promise without a test, or a test that `read` does
/// not find in the file that is named with it.
fn faults(page: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut faults = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise |")) {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            faults.push(format!("no test is named: {row}"));
        }
        for test in named {
            let is_there = test.split_once("::").is_some_and(|(file, name)| has_test(&read(file), name));
            if !is_there {
                faults.push(format!("{test} does not exist"));
            }
        }
    }
    faults
}

/// Says whether `source` holds a function of this name right below its attributes, `#[test]` among them.
fn has_test(source: &Option<String>, name: &str) -> bool {
    let lines: Vec<&str> = source.as_deref().unwrap_or_default().lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        line.starts_with(&format!("fn {name}("))
            && lines[..at].iter().rev().take_while(|above| above.starts_with("#[")).any(|above| *above == "#[test]")
    })
}

#[test]
fn every_promise_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/promises.md")).unwrap();
    let found = faults(&page, |file| fs::read_to_string(root.join(file)).ok());
    assert!(found.is_empty(), "docs/promises.md: {found:#?}");
    assert!(page.matches(".rs::").count() > 70, "the table was not read");
}

#[test]
fn a_promise_without_a_test_is_found() {
    let source = "#[test]\n#[ignore]\nfn good() {\n}\nfn helper() {\n}\n";
    let read = |file: &str| (file == "tests/a.rs").then(|| source.to_owned());
    let row = |tests: &str| faults(&format!("| promise | tests |\n|---|---|\n| It `holds`. | {tests} |\n"), read);
    assert!(row("`tests/a.rs::good`").is_empty());
    assert_eq!(row("`tests/a.rs::good`<br>`tests/a.rs::gone`"), ["tests/a.rs::gone does not exist"]);
    assert_eq!(row("`tests/a.rs::helper`"), ["tests/a.rs::helper does not exist"]);
    assert_eq!(row("`tests/b.rs::good`"), ["tests/b.rs::good does not exist"]);
    assert_eq!(row("`good`"), ["good does not exist"]);
    assert_eq!(row("later"), ["no test is named: | It `holds`. | later |"]);
}
