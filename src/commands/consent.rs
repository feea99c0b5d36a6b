//! Whether a disk may be overwritten: the user says so at a prompt that shows which disk it is and what
//! is on it, or in flags that name it.

use crate::cli::ConsentArgs;
use crate::commands::plan::Plan;
use crate::disk::Target;
use crate::disk::fingerprint::Fingerprint;
use crate::disk::identity::{Identity, NO_SERIAL};
use crate::disk::safety::members::Kind;
use crate::disk::target::{self, Existing};
use crate::disk::whole::WholeDisk;
use crate::error::{Result, refused};
use crate::units::Bytes;
use anyhow::Context;
use std::io::{BufRead, IsTerminal, stdin};
use std::path::Path;

/// What the user allows beforehand.
#[derive(Debug)]
pub struct Consent {
    existing: Existing,
    expect_serial: Vec<String>,
    destroy: Vec<&'static Kind>,
    /// What the disk was when a plan was made; inside, `None` for a file that was not there.
    planned: Option<Option<Fingerprint>>,
}

/// What the user gave away, not yet opened to be written: a disk that was is looked at by udev when it is
/// closed, which starts the arrays that are found.
pub enum Granted {
    /// A disk, and the size and sector that were planned for.
    Disk(Box<WholeDisk>, (Bytes, u64)),
    /// A file that is made, and has no name yet.
    File(Target),
}

impl Granted {
    /// Opens it to be written: nothing else may be refused any more.
    pub fn open(self) -> Result<Target> {
        match self {
            Granted::Disk(disk, planned) => Target::of_disk(*disk, planned),
            Granted::File(target) => Ok(target),
        }
    }
}

impl Consent {
    /// What the flags say.
    pub fn of(args: &ConsentArgs) -> Result<Consent> {
        let kinds = args.destroy.iter().flat_map(|list| list.split(',')).map(|kind| Kind::named(kind.trim()));
        Ok(Consent {
            existing: if args.yes { Existing::Replace } else { Existing::Keep },
            expect_serial: args.expect_serial.clone(),
            destroy: kinds.collect::<Result<_>>()?,
            planned: None,
        })
    }

    /// What the flags say; or what a plan does, which was looked at.
    pub fn given(args: &ConsentArgs, plan: Option<&Plan>) -> Result<Consent> {
        let consent = Consent::of(args)?;
        Ok(match plan {
            Some(plan) => consent.planned(plan.how()?.fingerprint.clone()),
            None => consent,
        })
    }

    /// The same for the disk that a plan was made for, and no other: who approves the plan has seen what is
    /// on it.
    fn planned(self, planned: Option<Fingerprint>) -> Consent {
        // A file that was not there may not go, should one be there by the end.
        let existing = if planned.is_some() { Existing::Replace } else { Existing::Keep };
        Consent { existing, planned: Some(planned), ..self }
    }

    /// What stands at `path`, which is refused if it could not be claimed; nothing is asked.
    pub fn look(&self, path: &Path) -> Result<(Option<Fingerprint>, String)> {
        if !target::is_device(path)? {
            let found = Fingerprint::of_file(path)?;
            let now = if found.is_some() { "a file, which would be replaced" } else { "nothing" };
            return Ok((found, now.to_owned()));
        }
        let disk = WholeDisk::claim(path)?;
        disk.refuse_members(&self.destroy)?;
        self.refuse_other(path, disk.identity())?;
        Ok((Some(disk.identity().fingerprint()), summary(disk.identity())))
    }

    /// Claims what is to be written: a disk file, or a disk that is free, is the one that is meant, and
    /// may be overwritten.
    pub fn claim(&self, path: &Path, size: (Bytes, u64)) -> Result<Granted> {
        if target::is_device(path)? {
            return Ok(Granted::Disk(Box::new(self.claim_disk(path)?), size));
        }
        if let Some(planned) = &self.planned {
            refuse_unplanned(path, &Fingerprint::of_file(path)?, planned)?;
        }
        Ok(Granted::File(Target::of_file(path, size, self.existing)?))
    }

    /// Claims a disk that may be overwritten, with all that is on it.
    pub fn claim_disk(&self, path: &Path) -> Result<WholeDisk> {
        let disk = WholeDisk::claim(path)?;
        disk.refuse_members(&self.destroy)?;
        self.approve(path, disk.identity(), "All that is on it")?;
        Ok(disk)
    }

    /// Fails unless the user gives this disk away, or what is named of it: `lost` is what goes.
    pub fn approve(&self, path: &Path, identity: &Identity, lost: &str) -> Result<()> {
        self.refuse_other(path, identity)?;
        if let Some(planned) = &self.planned {
            return refuse_unplanned(path, &Some(identity.fingerprint()), planned);
        }
        match self.existing {
            Existing::Replace => self.refuse_unnamed(path, identity),
            Existing::Keep if stdin().is_terminal() => ask(path, identity, lost),
            Existing::Keep => refuse_unasked(path, identity),
        }
    }

    /// Fails unless what stands in this disk file may go: `what` is what does.
    pub fn approve_file(&self, path: &Path, what: &str) -> Result<()> {
        if let Some(planned) = &self.planned {
            return refuse_unplanned(path, &Fingerprint::of_file(path)?, planned);
        }
        match self.existing {
            Existing::Replace => Ok(()),
            Existing::Keep => Err(refused(what, "replace it with --yes, or leave that slot away")),
        }
    }

    /// Whether what stands there may go without a question.
    pub fn replaces(&self) -> bool {
        self.existing == Existing::Replace
    }

    /// The kinds of inactive members that may go.
    pub fn destroy(&self) -> &[&'static Kind] {
        &self.destroy
    }

    /// `--expect-serial` names another disk.
    fn refuse_other(&self, path: &Path, identity: &Identity) -> Result<()> {
        let expected = &self.expect_serial;
        if expected.is_empty() || expected.iter().any(|serial| identity.is_called(serial)) {
            return Ok(());
        }
        let expected = expected.join(" or ");
        let name = path.display();
        let found = format!("{name} is not the disk that is meant: its serial is {}, not {expected}", told(identity));
        Err(refused(found, "see which disk is which: lsblk --nodeps --output NAME,MODEL,SERIAL,SIZE"))
    }

    /// `--yes` alone does not say which disk it is about, and names move from boot to boot.
    fn refuse_unnamed(&self, path: &Path, identity: &Identity) -> Result<()> {
        if !self.expect_serial.is_empty() || identity.contents.empty {
            return Ok(());
        }
        let name = path.display();
        let found =
            format!("{name} is not empty, and --yes does not say which disk is meant; it is {}", summary(identity));
        Err(refused(found, format!("if it may go, add --expect-serial {}", quoted(identity.serial()))))
    }
}

/// The disk is not as it was when the plan was made.
pub fn refuse_unplanned(path: &Path, now: &Option<Fingerprint>, planned: &Option<Fingerprint>) -> Result<()> {
    let what = match (now, planned) {
        (None, None) => return Ok(()),
        (Some(_), None) => "it was not there",
        (None, Some(_)) => "it is not there any more",
        (Some(now), Some(planned)) if now.serials != planned.serials => "it is another disk: its serial number differs",
        (Some(now), Some(planned)) if now.size != planned.size => "it has another size",
        (Some(now), Some(planned)) if now.table_digest != planned.table_digest => "its partition table differs",
        (Some(now), Some(planned)) if now.holders != planned.holders => "something else is built on it",
        (Some(now), Some(planned)) if now.contents_digest != planned.contents_digest => "something else is on it",
        (Some(_), Some(_)) => return Ok(()),
    };
    let found = format!("{} is not as it was when the plan was made: {what}", path.display());
    Err(refused(found, "make the plan anew, and look at it: flipslot create --dry-run --json"))
}

/// Without a prompt and without `--yes`, an empty disk alone is written.
fn refuse_unasked(path: &Path, identity: &Identity) -> Result<()> {
    if identity.contents.empty {
        return Ok(());
    }
    let (name, serial) = (path.display(), quoted(identity.serial()));
    Err(refused(
        format!("{name} is not empty; it is {}", summary(identity)),
        format!("see what is on it: wipefs {name}; overwrite it with --yes --expect-serial {serial}"),
    ))
}

/// Shows the disk, says what of it will be lost, and wants its name typed.
fn ask(path: &Path, identity: &Identity, lost: &str) -> Result<()> {
    let name = path.display().to_string();
    let of_it = if identity.contents.empty { String::new() } else { format!("{lost} will be lost. ") };
    crate::tell!("{name} is {}", identity.to_string().trim_end());
    crate::tell!("{of_it}To write to this disk, type its name: {name}");
    let mut typed = String::new();
    stdin().lock().read_line(&mut typed).context("reading the answer")?;
    if typed.trim() == name {
        return Ok(());
    }
    Err(refused(
        format!("what was typed is not {name}; nothing was written"),
        "run the command again to be asked again",
    ))
}

/// A disk and what is on it, in one line.
pub fn summary(identity: &Identity) -> String {
    identity.to_string().trim_end().replace("\n  ", "; ")
}

fn told(identity: &Identity) -> String {
    match identity.serials.as_slice() {
        [] => NO_SERIAL.to_owned(),
        serials => serials.join(" or "),
    }
}

/// As a word of the shell.
fn quoted(word: &str) -> String {
    let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=@%+".contains(c));
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
