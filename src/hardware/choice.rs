//! Values of `--hardware`: this machine, a kind of machine, or an inventory in a file.

use crate::error::{Result, refused, usage};
use crate::hardware::{Inventory, Profile, this_machine};
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The largest inventory file in bytes, more than any machine needs: one device takes some 200.
const FILE_MAX: u64 = 1 << 20;

/// The machine that an image is made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Choice {
    /// The machine that this program runs on.
    This,
    /// Any of QEMU's machines.
    Qemu,
    /// Any machine, with every storage driver.
    Generic,
    /// The machine described by the inventory in this file.
    File(PathBuf),
}

impl Choice {
    /// Returns the name used on the command line and in records.
    pub fn name(&self) -> String {
        match self {
            Choice::This => "this".to_owned(),
            Choice::Qemu => Profile::Qemu.name().to_owned(),
            Choice::Generic => Profile::Generic.name().to_owned(),
            Choice::File(path) => path.display().to_string(),
        }
    }

    /// Reads what the machine needs to boot; for this machine, to boot from `disk` (see [`this_machine`]).
    pub fn inventory(&self, disk: Option<&Path>) -> Result<Inventory> {
        match self {
            Choice::This => this_machine(disk).context("looking at this machine's hardware"),
            Choice::Qemu => Profile::Qemu.inventory(),
            Choice::Generic => Profile::Generic.inventory(),
            Choice::File(path) => read(path),
        }
    }
}

/// Reads the inventory in a file.
fn read(path: &Path) -> Result<Inventory> {
    let name = path.display();
    let mut text = Vec::new();
    let file = File::open(path).with_context(|| format!("opening {name}"))?;
    file.take(FILE_MAX + 1).read_to_end(&mut text).with_context(|| format!("reading {name}"))?;
    if text.len() as u64 > FILE_MAX {
        let found = format!("{name} is not an inventory of a machine: it is larger than 1MiB");
        return Err(refused(found, "name a file written by: flipslot hardware -o FILE"));
    }
    // Bytes that are not text are not JSON either, and are refused as such.
    Inventory::parse(&String::from_utf8_lossy(&text), &name.to_string())
}

impl FromStr for Choice {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Choice> {
        match text {
            "this" => Ok(Choice::This),
            "qemu" => Ok(Choice::Qemu),
            "generic" => Ok(Choice::Generic),
            file if Path::new(file).is_file() => Ok(Choice::File(PathBuf::from(file))),
            _ => Err(usage(
                format!("'{text}' is not a machine: expected this, qemu, generic or an existing file"),
                "name one of them, or a file written on that machine by: flipslot hardware -o FILE",
            )),
        }
    }
}

impl TryFrom<String> for Choice {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Choice> {
        text.parse()
    }
}

impl From<Choice> for String {
    fn from(choice: Choice) -> String {
        choice.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Kind, kind};

    #[test]
    fn a_word_or_a_file_is_a_choice_and_is_called_so() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        for text in ["this", "qemu", "generic", path] {
            assert_eq!(text.parse::<Choice>().unwrap().name(), text);
        }
        #[derive(Deserialize)]
        struct Config {
            hardware: Choice,
        }
        let config: Config = toml::from_str(&format!("hardware = '{path}'")).unwrap();
        assert_eq!(config.hardware, Choice::File(path.into()));
        assert_eq!(serde_json::to_string(&config.hardware).unwrap(), format!("\"{path}\""));
    }

    #[test]
    fn what_is_neither_is_answered_with_the_words() {
        for text in ["quemu", "", "/no/such/file", "/"] {
            let error = text.parse::<Choice>().unwrap_err();
            assert_eq!(kind(&error), Kind::Usage);
            assert!(["this", "qemu", "generic"].iter().all(|word| error.to_string().contains(word)), "{error}");
        }
    }

    #[test]
    fn a_file_gives_what_it_holds_and_one_that_holds_no_inventory_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("machine.json");
        let taken = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            Choice::File(path.clone()).inventory(None)
        };
        let generic = Profile::Generic.inventory().unwrap();
        assert_eq!(taken(generic.to_json().unwrap().as_bytes()).unwrap(), generic);
        for (text, found) in [
            (&b"{}"[..], "not an inventory"),
            (b"\xff\xfe", "not an inventory"),
            (br#"{"version": 2, "anything": 1}"#, "version 2"),
            (br#"{"version": 1, "machine": "x", "disk": []}"#, "unknown field `disk`"),
            (&vec![b' '; (1 << 20) + 1], "larger than 1MiB"),
        ] {
            let error = taken(text).unwrap_err();
            assert_eq!(kind(&error), Kind::Refused);
            assert!(error.to_string().contains(found), "{error}");
        }
    }
}
