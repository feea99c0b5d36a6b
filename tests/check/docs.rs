//! docs/check.md says what the table of rules says.

use flipslot::check::table::RULES;
use serde_json::to_value;

#[test]
fn the_documentation_lists_every_rule_with_its_severity_reason_and_mend() {
    let text = include_str!("../../docs/check.md");
    let (_, table) = text.split_once("## The rules").expect("a chapter of rules");
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let documented: Vec<Vec<String>> = rows.map(cells).collect();
    let known: Vec<Vec<String>> = RULES
        .iter()
        .map(|rule| {
            let severity = to_value(rule.severity).unwrap().as_str().unwrap().to_owned();
            let fix = rule.fix.as_ref().map_or("-", |fix| fix.does);
            vec![format!("`{}`", rule.id), severity, rule.why.to_owned(), fix.to_owned()]
        })
        .collect();
    let told: Vec<Vec<String>> =
        documented.into_iter().map(|row| [0, 1, 3, 4].map(|cell| row[cell].clone()).into()).collect();
    assert_eq!(told, known);
}
