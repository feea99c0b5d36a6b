//! docs/cli.md, the man pages and the completions describe the program that is built here.

use crate::support::program::{flipslot, tool};
use flipslot::cli::manual::{man_pages, markdown, visible};

/// Verbs that systemd and flipslot itself run.
const HIDDEN: [&str; 4] = ["watch-trial", "check-health", "note-shutdown", "enter-chamber"];

#[test]
fn the_page_of_the_command_line_is_what_the_program_says() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md")).unwrap();
    let rendered = markdown(&visible());
    let differs = page.lines().zip(rendered.lines()).find(|(old, new)| old != new);
    assert!(page == rendered, "docs/cli.md is out of date: run `make docs`. First difference: {differs:#?}");
    for verb in HIDDEN {
        assert!(!page.contains(verb), "{verb}");
    }
}

#[test]
fn every_verb_has_a_man_page() {
    let folder = tempfile::tempdir().unwrap();
    let run = flipslot(folder.path(), &["reference", "--man", "man/man1"]);
    run.must_end(0, &[]);
    let verbs: Vec<String> =
        visible().get_subcommands().map(|verb| format!("flipslot-{}.1", verb.get_name())).collect();
    let mut expected: Vec<String> = ["flipslot.1".to_owned()].into_iter().chain(verbs).collect();
    let pages = man_pages(&visible()).unwrap();
    assert_eq!(pages.iter().map(|page| page.file_name.clone()).collect::<Vec<_>>(), expected);
    let mut written: Vec<String> = std::fs::read_dir(folder.path().join("man/man1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    written.sort();
    expected.sort();
    assert_eq!(written, expected);
    for page in pages {
        let text = String::from_utf8(page.roff).unwrap();
        assert!(text.contains(".TH flipslot"), "{}", page.file_name);
        assert!(HIDDEN.iter().all(|verb| !text.contains(verb)), "{}", page.file_name);
    }
}

#[test]
fn completions_name_every_verb_and_no_hidden_one() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = flipslot(folder.path(), &["completions", shell]);
        script.must_end(0, &[]);
        for verb in visible().get_subcommands() {
            assert!(script.stdout.contains(verb.get_name()), "{shell}: {}", verb.get_name());
        }
        assert!(HIDDEN.iter().all(|verb| !script.stdout.contains(verb)), "{shell}");
        if shell == "bash" {
            let path = folder.path().join("flipslot.bash");
            std::fs::write(&path, script.stdout).unwrap();
            tool("bash", &["-n", path.to_str().unwrap()]);
        }
    }
    flipslot(folder.path(), &["completions", "tcsh"]).must_end(2, &["possible values: bash, zsh, fish"]);
}
