//! The user's consent to overwrite a disk: given at a prompt that shows which disk it is and what is on it,
//! or in flags that name it.

use crate::cli::ConsentArgs;
use crate::disk::new::target;
use crate::disk::new::target::{Existing, Target};
use crate::disk::safety::members::Kind;
use crate::disk::which::fingerprint::Fingerprint;
use crate::disk::which::identity::{Identity, NO_SERIAL};
use crate::disk::which::whole::WholeDisk;
use crate::error::{Result, refused};
use crate::words::region::Geometry;
use anyhow::Context;
use std::io::{BufRead, IsTerminal, stdin};
use std::path::Path;

/// Consent that the user gives beforehand.
#[derive(Debug)]
pub struct Consent {
    existing: Existing,
    expect_serial: Vec<String>,
    destroy: Vec<&'static Kind>,
    /// Fingerprint of the disk when a plan was made; the inner `None` is for a file that was not there.
    planned: Option<Option<Fingerprint>>,
}

/// A target that the user gave up, not yet opened for writing: when a disk that was open for writing is
/// closed, udev examines it, and starts the arrays that it finds.
pub enum Granted {
    /// A disk, with the planned sizes of it and of its sectors.
    Disk(Box<WholeDisk>, Geometry),
    /// A new file that has no name yet.
    File(Target),
}

impl Granted {
    /// Opens the target for writing. From here on nothing else may be refused.
    pub fn open(self) -> Result<Target> {
        match self {
            Granted::Disk(disk, planned) => Target::of_disk(*disk, planned),
            Granted::File(target) => Ok(target),
        }
    }
}

impl Consent {
    /// Reads the consent from the flags.
    pub fn of(args: &ConsentArgs) -> Result<Consent> {
        let kinds = args.destroy.iter().flat_map(|list| list.split(',')).map(|kind| Kind::named(kind.trim()));
        Ok(Consent {
            existing: if args.yes { Existing::Replace } else { Existing::Refuse },
            expect_serial: args.expect_serial.clone(),
            destroy: kinds.collect::<Result<_>>()?,
            planned: None,
        })
    }

    /// Reads the consent from the flags, or from the fingerprint in a plan, which the user has reviewed; the inner
    /// `None` is for a file that was not there.
    pub fn given(args: &ConsentArgs, planned: Option<&Option<Fingerprint>>) -> Result<Consent> {
        let consent = Consent::of(args)?;
        Ok(match planned {
            Some(fingerprint) => consent.planned(fingerprint.clone()),
            None => consent,
        })
    }

    /// Limits this consent to the disk as it was when a plan was made: a user who approves the plan has seen
    /// what is on the disk.
    fn planned(self, planned: Option<Fingerprint>) -> Consent {
        // A file that was not there must not be replaced, should one be there by then.
        let existing = if planned.is_some() { Existing::Replace } else { Existing::Refuse };
        Consent { existing, planned: Some(planned), ..self }
    }

    /// Returns the fingerprint and a description of what is at `path`, without a prompt. Refuses a path that
    /// could not be claimed.
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

    /// Claims the target: a disk file, or a disk that is not in use, is the intended one, and may be
    /// overwritten.
    pub fn claim(&self, path: &Path, geometry: Geometry) -> Result<Granted> {
        if target::is_device(path)? {
            return Ok(Granted::Disk(Box::new(self.claim_disk(path)?), geometry));
        }
        if let Some(planned) = &self.planned {
            refuse_unplanned(path, &Fingerprint::of_file(path)?, planned)?;
        }
        Ok(Granted::File(Target::of_file(path, geometry, self.existing)?))
    }

    /// Claims a disk that may be overwritten with everything on it.
    pub fn claim_disk(&self, path: &Path) -> Result<WholeDisk> {
        let disk = WholeDisk::claim(path)?;
        disk.refuse_members(&self.destroy)?;
        self.approve(path, disk.identity(), "Everything on it")?;
        Ok(disk)
    }

    /// Fails unless the user gives up this disk, or the part of it that `lost` names.
    pub fn approve(&self, path: &Path, identity: &Identity, lost: &str) -> Result<()> {
        self.refuse_other(path, identity)?;
        if let Some(planned) = &self.planned {
            return refuse_unplanned(path, &Some(identity.fingerprint()), planned);
        }
        match self.existing {
            Existing::Replace => self.refuse_unnamed(path, identity),
            Existing::Refuse if stdin().is_terminal() => ask(path, identity, lost),
            Existing::Refuse => refuse_unasked(path, identity),
        }
    }

    /// Fails unless the contents of this disk file may be replaced; `what` describes them in the error.
    pub fn approve_file(&self, path: &Path, what: &str) -> Result<()> {
        if let Some(planned) = &self.planned {
            return refuse_unplanned(path, &Fingerprint::of_file(path)?, planned);
        }
        match self.existing {
            Existing::Replace => Ok(()),
            Existing::Refuse => Err(refused(what, "replace it with --yes, or omit that slot")),
        }
    }

    /// Returns true if existing contents may be replaced without a prompt.
    pub fn replaces(&self) -> bool {
        self.existing == Existing::Replace
    }

    /// Returns the kinds of inactive members that may be destroyed.
    pub fn destroy(&self) -> &[&'static Kind] {
        &self.destroy
    }

    /// Refuses a disk whose serial number `--expect-serial` does not name.
    fn refuse_other(&self, path: &Path, identity: &Identity) -> Result<()> {
        let expected = &self.expect_serial;
        if expected.is_empty() || expected.iter().any(|serial| identity.is_called(serial)) {
            return Ok(());
        }
        let expected = expected.join(" or ");
        let name = path.display();
        let found = format!("{name} is not the expected disk: its serial is {}, not {expected}", told(identity));
        Err(refused(found, "see which disk is which: lsblk --nodeps --output NAME,MODEL,SERIAL,SIZE"))
    }

    /// Refuses a disk that is not empty if `--yes` is given alone: it does not say which disk it is about,
    /// and names change from boot to boot.
    fn refuse_unnamed(&self, path: &Path, identity: &Identity) -> Result<()> {
        if !self.expect_serial.is_empty() || identity.contents.empty {
            return Ok(());
        }
        let name = path.display();
        let found =
            format!("{name} is not empty, and --yes does not say which disk is meant; it is {}", summary(identity));
        Err(refused(found, format!("to overwrite it, add --expect-serial {}", quoted(identity.serial()))))
    }
}

/// Refuses a disk that is not as it was when the plan was made.
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
    Err(refused(found, "make a new plan, and review it: flipslot create --dry-run --json"))
}

/// Refuses a disk that is not empty, where there is neither a prompt nor `--yes`.
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

/// Shows the disk and what of it will be lost, and asks the user to type its name.
fn ask(path: &Path, identity: &Identity, lost: &str) -> Result<()> {
    let name = path.display().to_string();
    let of_it = if identity.contents.empty { String::new() } else { format!("{lost} will be lost. ") };
    crate::stderr!("{name} is {}", identity.to_string().trim_end());
    crate::stderr!("{of_it}To write to this disk, type its name: {name}");
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

/// Describes a disk and what is on it, in one line.
pub fn summary(identity: &Identity) -> String {
    identity.to_string().trim_end().replace("\n  ", "; ")
}

fn told(identity: &Identity) -> String {
    match identity.serials.as_slice() {
        [] => NO_SERIAL.to_owned(),
        serials => serials.join(" or "),
    }
}

/// Quotes a word for the shell, if necessary.
fn quoted(word: &str) -> String {
    let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=@%+".contains(c));
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
