//! The command line and the config file: what is wrong with them is said before anything is done.

use crate::support::program::{assert_nothing_left, flipslot};

#[test]
fn help_fits_80_columns_and_describes_every_flag() {
    let folder = tempfile::tempdir().unwrap();
    for (verb, fewest) in [
        (None, 2),
        (Some("create"), 17),
        (Some("flash"), 16),
        (Some("clone"), 5),
        (Some("switch"), 5),
        (Some("status"), 3),
        (Some("hardware"), 3),
        (Some("cleanup"), 3),
        (Some("completions"), 1),
        (Some("confirm"), 2),
        (Some("rollback"), 2),
    ] {
        let help = flipslot(folder.path(), &verb.into_iter().chain(["--help"]).collect::<Vec<_>>());
        assert_eq!(help.code, 0);
        let long: Vec<&str> = help.stdout.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{long:#?}");

        let help = help.stdout.split("References:").next().unwrap();
        let short = ["-h, --", "-V, --", "-o, --"];
        let is_flag = |line: &&str| line.starts_with("--") || short.iter().any(|start| line.starts_with(start));
        let flags: Vec<&str> = help.lines().map(str::trim).filter(is_flag).collect();
        assert!(flags.len() >= fewest, "{verb:?}: {flags:?}");
        for flag in flags {
            let described = flag.split_once("  ").is_some_and(|(_, text)| !text.trim().is_empty());
            let next = help.lines().skip_while(|line| line.trim() != flag).nth(1).unwrap_or_default();
            assert!(described || next.starts_with("          "), "{verb:?}: {flag} has no description");
        }
    }
}

#[test]
fn what_is_no_command_line_ends_with_2_and_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, text) in [
        (&["create", "x.raw", "--size", "1GiB"][..], "no slot gets an image"),
        (&["create", "x.raw", "--size", "1GiB", "--slot", "a=ftp://h/x"], "its scheme is unknown"),
        (&["create", "x.raw", "--size", "1GiB", "--slot", "debian"], "names no slot"),
        (&["create", "x.raw", "--size", "1GiB", "--slot", "1=debian"], "'1' is not a slot"),
        (&["create", "x.raw", "--size", "1GiB", "--slot", "a=x", "--slot", "a=y"], "given twice"),
        (&["create", "x.raw", "--size", "huge", "--slot", "a=x"], "'huge' is not a size"),
        (&["create", "x.raw", "--slot", "a=x"], "needs a size"),
        (&["create", "x.raw", "--size", "1GiB", "--slots", "0", "--slot", "a=x"], "cannot have 0 slots"),
        (&["create", "x.raw", "--size", "1GiB", "--data", "--slot", "a=x"], "--slot-size"),
        (&["create", "x.raw", "--size", "1GiB", "--slots", "2", "--slot", "c=oci:x"], "slot c is not on this disk"),
        (&["switch", "--slot=1"], "'1' is not a slot"),
        (&["switch", "--slot=ab"], "'ab' is not a slot"),
        (&["switch", "--slot=b", "--deadline=soon"], "'soon' is not a deadline"),
        (&["switch", "--slot=b", "--deadline=9s"], "at least 10s"),
        (&["switch", "--slot=b", "--deadline=8d"], "'8d' is not a deadline"),
    ] {
        let run = flipslot(folder.path(), arguments);
        run.must_end(2, &[text, "next: "]);
    }
    // What the parser of the command line finds.
    for (arguments, text) in [
        (&["create", "--no-such-flag"][..], "--no-such-flag"),
        (&["switch"], "--slot <SLOT>"),
        (&["switch", "--slot=b", "--by=teleport"], "possible values: kexec, firmware, auto"),
        (&["switch", "--slot=b", "--confirm=maybe"], "possible values: auto, manual"),
        (&["flash", "--slot=b"], "<REFERENCE>"),
        (&["flash", "oci:x"], "--slot <SLOT>"),
        (&["confirm", "b"], "unexpected argument 'b'"),
        (&["teleport"], "unrecognized subcommand 'teleport'"),
        (&["check", "oci:x", "--hardware=none.json"], "'none.json' is not a machine"),
        (&[], "no subcommand is given"),
    ] {
        let run = flipslot(folder.path(), arguments);
        run.must_end(2, &[text, "\n  next: "]);
        assert!(run.stderr.starts_with("flipslot: ") && run.stderr.lines().count() == 2, "{}", run.stderr);
        assert_eq!(run.stdout, "");
    }
    assert_nothing_left(folder.path(), &[]);
}

#[test]
fn an_unknown_key_of_the_config_is_shown_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("disk.toml"), "size = '1GiB'\n\nslotsize = '3GiB'\n").unwrap();
    let run = flipslot(folder.path(), &["create", "x.raw", "--config", "disk.toml"]);
    run.must_end(2, &["disk.toml", "line 3", "slotsize"]);
    let run = flipslot(folder.path(), &["create", "x.raw", "--config", "none.toml"]);
    run.must_end(3, &["none.toml"]);
}

#[test]
fn a_flag_overrides_the_config() {
    let folder = tempfile::tempdir().unwrap();
    let config = "size = '100MiB'\nslots = 2\n[slot]\na = 'oci:nowhere'\n";
    std::fs::write(folder.path().join("disk.toml"), config).unwrap();
    let by_config = flipslot(folder.path(), &["create", "x.raw", "--config", "disk.toml"]);
    by_config.must_end(3, &["100MiB is too small for 2 slots"]);
    let by_flag = flipslot(folder.path(), &["create", "x.raw", "--config", "disk.toml", "--slots", "3"]);
    by_flag.must_end(3, &["100MiB is too small for 3 slots"]);
    let both = flipslot(
        folder.path(),
        &["create", "x.raw", "--config", "disk.toml", "--size", "1GiB", "--slot", "a=oci:elsewhere"],
    );
    both.must_end(3, &["elsewhere"]);
}

#[test]
fn a_file_that_is_no_disk_of_flipslot_is_never_offered_to_be_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("photos.img"), vec![b'x'; 1 << 20]).unwrap();
    std::fs::write(folder.path().join("empty.img"), "").unwrap();
    let run = flipslot(folder.path(), &["status", "--disk", "photos.img"]);
    run.must_end(3, &["photos.img has no flipslot table", "wipefs photos.img", "sfdisk -l photos.img"]);
    assert!(!run.stderr.contains("create"), "{}", run.stderr);
    flipslot(folder.path(), &["status", "--disk", "empty.img"]).must_end(3, &["flipslot create empty.img"]);
}
