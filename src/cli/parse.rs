//! Parses the command line, and turns clap's errors into the program's own form: what was found, and what to
//! write instead.

use crate::cli::value::Unfit;
use crate::cli::{Cli, Verb};
use crate::error::{Result, usage};
use crate::words::printable::plain;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};
use std::error::Error;
use std::ffi::OsString;

/// A command line that was parsed.
pub enum Parsed {
    /// A command to run.
    Run(Verb),
    /// The help or the version, for stdout.
    Show(clap::Error),
}

/// Parses a command line, whose first word is the name of the program. Fails (usage) if it is wrong.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Parsed> {
    let words: Vec<OsString> = words.into_iter().collect();
    match Cli::try_parse_from(&words) {
        Ok(cli) => Ok(Parsed::Run(cli.verb)),
        Err(shown) if !shown.use_stderr() => Ok(Parsed::Show(shown)),
        Err(wrong) => Err(usage(found(&wrong), next(&wrong, &words))),
    }
}

/// Describes what is wrong with the command line.
fn found(wrong: &clap::Error) -> String {
    let named = |kind| all(wrong, kind).join(", ");
    let (arg, value) = (named(ContextKind::InvalidArg), named(ContextKind::InvalidValue));
    match wrong.kind() {
        ErrorKind::InvalidValue if value.is_empty() => format!("{arg} needs a value"),
        ErrorKind::InvalidValue => format!("'{value}' is not a value of {arg}"),
        ErrorKind::ValueValidation => match wrong.source() {
            Some(why) => format!("{arg}: {why}", why = in_context(&value, why)),
            None => format!("'{value}' is not a value of {arg}"),
        },
        ErrorKind::UnknownArgument => format!("unexpected argument '{arg}'"),
        ErrorKind::InvalidSubcommand => {
            format!("unrecognized subcommand '{}'", named(ContextKind::InvalidSubcommand))
        }
        ErrorKind::MissingRequiredArgument => format!("missing {arg}"),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "no subcommand is given".to_owned()
        }
        ErrorKind::ArgumentConflict => match named(ContextKind::PriorArg) {
            prior if prior == arg || prior.is_empty() => format!("{arg} is given several times"),
            prior => format!("{arg} cannot be used with {prior}"),
        },
        kind => format!("{kind} {arg}").trim_end().to_owned(),
    }
}

/// Describes why a value is wrong; an error of its own parser quotes the value already.
fn in_context(value: &str, why: &(dyn Error + 'static)) -> String {
    if why.is::<Unfit>() { why.to_string() } else { format!("'{value}': {why}") }
}

/// Returns what to write instead: the hint of the value's own parser or what clap suggests, and where it is
/// explained.
fn next(wrong: &clap::Error, words: &[OsString]) -> String {
    if let Some(hint) = wrong.source().and_then(|why| why.downcast_ref::<Unfit>()).and_then(Unfit::hint) {
        return hint.to_owned();
    }
    let similar = [
        (ContextKind::SuggestedSubcommand, "subcommand"),
        (ContextKind::SuggestedArg, "argument"),
        (ContextKind::SuggestedValue, "value"),
    ];
    let similar = similar.into_iter().filter_map(|(kind, what)| {
        let names: Vec<String> = all(wrong, kind).into_iter().map(|name| format!("'{name}'")).collect();
        (!names.is_empty()).then(|| format!("a similar {what} exists: {}", names.join(", ")))
    });
    let mut hints: Vec<String> = similar.collect();
    hints.extend(all(wrong, ContextKind::Suggested));
    let values = all(wrong, ContextKind::ValidValue);
    if !values.is_empty() {
        hints.push(format!("possible values: {}", values.join(", ")));
    }
    hints.push(format!("see {} --help", command_of(words)));
    hints.join("; ")
}

/// Returns the command that the line begins with: "flipslot create", or "flipslot" if it names none.
fn command_of(words: &[OsString]) -> String {
    let program = Cli::command();
    let verb = words.get(1).and_then(|word| program.find_subcommand(word)).filter(|verb| !verb.is_hide_set());
    verb.map_or_else(|| program.get_name().to_owned(), |verb| format!("{} {}", program.get_name(), verb.get_name()))
}

/// Returns the texts that clap gives with an error, on one line each: some come from the command line.
fn all(wrong: &clap::Error, kind: ContextKind) -> Vec<String> {
    texts(wrong, kind).iter().map(|text| plain(text, 200)).collect()
}

fn texts(wrong: &clap::Error, kind: ContextKind) -> Vec<String> {
    match wrong.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        Some(ContextValue::StyledStr(text)) => vec![text.to_string()],
        Some(ContextValue::StyledStrs(texts)) => texts.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error;

    fn error_of(line: &str) -> (String, String) {
        let Err(error) = parse(line.split(' ').map(OsString::from)) else { panic!("{line} is accepted") };
        assert_eq!(error::kind(&error).exit_code(), 2, "{line}");
        (format!("{error:#}"), error::hint(&error).unwrap_or_default().to_owned())
    }

    #[test]
    fn every_kind_of_error_says_what_was_found_and_what_to_write() {
        for (line, found, next) in [
            ("flipslot", "no subcommand is given", "see flipslot --help"),
            ("flipslot teleport", "unrecognized subcommand 'teleport'", "see flipslot --help"),
            ("flipslot crate", "unrecognized subcommand 'crate'", "a similar subcommand exists: 'create'"),
            ("flipslot status --dsk x", "unexpected argument '--dsk'", "a similar argument exists: '--disk'"),
            ("flipslot confirm b\nb", "unexpected argument 'b\\nb'", "see flipslot confirm --help"),
            ("flipslot confirm b", "unexpected argument 'b'", "see flipslot confirm --help"),
            ("flipslot switch", "missing --slot <SLOT>", "see flipslot switch --help"),
            ("flipslot flash", "missing --slot <SLOT>, <REFERENCE>", "see flipslot flash --help"),
            ("flipslot switch --slot", "--slot <SLOT> needs a value", "see flipslot switch --help"),
            ("flipslot switch --slot=a --slot=b", "--slot <SLOT> is given several times", "see flipslot switch"),
            ("flipslot switch --slot=b --by=kexc", "'kexc' is not a value of --by <WAY>", "exists: 'kexec'; possible"),
            ("flipslot create x --slots=two", "--slots <N>: 'two': invalid digit", "see flipslot create --help"),
            ("flipslot check x --hardware=none", "'none' is not a machine", "flipslot hardware -o FILE"),
            ("flipslot check x --slot=a", "[REFERENCE] cannot be used with --slot <SLOT>", "see flipslot check --help"),
            ("flipslot confirm --json", "missing --dry-run", "see flipslot confirm --help"),
            ("flipslot confirm --json=1", "unexpected value", "see flipslot confirm --help"),
        ] {
            let said = error_of(line);
            assert!(said.0.contains(found) && said.1.contains(next), "{line}: {said:?}");
            assert!(!said.0.contains('\n') && !said.1.contains('\n'), "{line}: {said:?}");
        }
    }

    #[test]
    fn help_and_version_are_shown_and_not_errors() {
        for line in ["flipslot --help", "flipslot --version", "flipslot create --help", "flipslot help flash"] {
            let parsed = parse(line.split(' ').map(OsString::from));
            assert!(matches!(parsed, Ok(Parsed::Show(_))), "{line}");
        }
    }
}
