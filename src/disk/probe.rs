//! Contents of a device according to util-linux: blkid, partx and wipefs, which the rest of the system relies
//! on. They get an open descriptor or a loop device, never the name of a disk, and write nothing.

use crate::error::Result;
use crate::tool::{Printed, Tool, refuse_missing};
use crate::words::region::Region;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time limit for reading some MiB of a disk that is slow or broken.
const DEADLINE: Duration = Duration::from_secs(30);
/// Exit code of blkid (blkid(8), "EXIT STATUS"): nothing was found.
const NOTHING: i32 = 2;
/// Exit code of blkid (blkid(8), "EXIT STATUS"): several things were found, so that none is reported.
const AMBIVALENT: i32 = 8;
/// Unit of partx(8) in bytes, whatever the disk's sectors are.
const UNIT: u64 = 512;
/// Largest number of partitions that are examined: no table has more that matter.
const PARTITIONS_MAX: usize = 256;

/// A device or disk file that can be examined.
pub struct Probe {
    path: PathBuf,
}

/// Content found in a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Name in libblkid: `ext4`, `LVM2_member`; or `several` where more than one is found.
    pub kind: String,
    /// Label, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// UUID, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
}

/// Report of blkid on a region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Filesystem, or member of something larger.
    pub content: Option<Content>,
    /// Kind of partition table, if there is one: `gpt`, `dos`.
    pub table: Option<String>,
}

impl Probe {
    /// Makes a probe of the open `file`, valid for as long as that is open.
    pub fn of(file: &File) -> Probe {
        Probe { path: format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into() }
    }

    /// Makes a probe of the device or file at `path`.
    pub fn at(path: &Path) -> Probe {
        Probe { path: path.to_owned() }
    }

    /// Refuses to begin without blkid, partx and wipefs.
    pub fn refuse_missing() -> Result<()> {
        refuse_missing(&[("blkid", "util-linux"), ("partx", "util-linux"), ("wipefs", "util-linux")])
    }

    /// Reports what is in `region`.
    pub fn look(&self, region: Region) -> Result<Found> {
        self.blkid(region, None)
    }

    /// Returns whether something of this kind is in `region`, whatever else is there.
    pub fn finds(&self, region: Region, kind: &str) -> Result<bool> {
        Ok(self.blkid(region, Some(kind))?.content.is_some_and(|content| content.kind == kind))
    }

    fn blkid(&self, region: Region, kind: Option<&str>) -> Result<Found> {
        let mut blkid = Tool::new("blkid").args(["--probe", "--output=export"]);
        if let Some(kind) = kind {
            blkid = blkid.arg(format!("--match-types={kind}"));
        }
        let blkid = blkid.arg(format!("--offset={}", region.start)).arg(format!("--size={}", region.size));
        let (code, printed) = blkid
            .arg(&self.path)
            .deadline(DEADLINE)
            .hint("see whether the disk can be read: smartctl -a DISK; dmesg")
            .run_for(&[0, NOTHING, AMBIVALENT])?;
        Ok(found(code, &printed.stdout))
    }

    /// Lists the partitions of the device's table, each with its name; empty without a table. The kernel need
    /// not know them.
    pub fn partitions(&self) -> Result<Vec<(Region, String)>> {
        let partx = Tool::new("partx").args(["--raw", "--noheadings", "--bytes", "--output=NR,START,SECTORS,NAME"]);
        let (_, Printed { stdout, .. }) = partx.arg(&self.path).deadline(DEADLINE).keeping(1 << 20).run_for(&[0, 1])?;
        Ok(stdout.lines().filter_map(partition).take(PARTITIONS_MAX).collect())
    }

    /// Lists every signature that any program could find on the device: its offset in bytes, and its kind.
    pub fn signatures(&self) -> Result<Vec<(u64, String)>> {
        let wipefs = Tool::new("wipefs").args(["--no-act", "--noheadings", "--output=OFFSET,TYPE"]);
        let printed = wipefs.arg(&self.path).deadline(DEADLINE).run()?;
        Ok(printed.stdout.lines().filter_map(signature).collect())
    }
}

/// Parses the output of blkid(8), `--output=export`: a name and a value in each line.
fn found(code: i32, printed: &str) -> Found {
    let value = |name: &str| {
        let line = printed.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(line.chars().filter(|c| !c.is_control()).collect::<String>())
    };
    let kind = if code == AMBIVALENT { Some("several".to_owned()) } else { value("TYPE") };
    let content = kind.map(|kind| Content { kind, label: value("LABEL"), uuid: value("UUID") });
    Found { content, table: value("PTTYPE") }
}

fn partition(line: &str) -> Option<(Region, String)> {
    let mut words = line.splitn(4, ' ');
    let mut number = || words.next()?.parse::<u64>().ok();
    let (index, start, sectors) = (number()?, number()?, number()?);
    let region = Region {
        number: u32::try_from(index).ok()?,
        start: start.checked_mul(UNIT)?,
        size: sectors.checked_mul(UNIT)?,
    };
    let name = words.next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    Some((region, name))
}

fn signature(line: &str) -> Option<(u64, String)> {
    let (offset, kind) = line.trim().split_once(' ')?;
    Some((u64::from_str_radix(offset.strip_prefix("0x")?, 16).ok()?, kind.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_programs_print_is_understood() {
        let content = |kind: &str, label: Option<&str>| Content {
            kind: kind.to_owned(),
            label: label.map(ToOwned::to_owned),
            uuid: None,
        };
        let ext4 = found(0, "DEVNAME=/proc/1/fd/3\nLABEL=my root\nTYPE=ext4\nUSAGE=filesystem\n");
        assert_eq!(ext4, Found { content: Some(content("ext4", Some("my root"))), table: None });
        assert_eq!(found(0, "DEVNAME=x\nPTUUID=1\nPTTYPE=gpt\n").table.as_deref(), Some("gpt"));
        assert_eq!(found(NOTHING, ""), Found::default());
        assert_eq!(found(AMBIVALENT, "").content, Some(content("several", None)));
        let (region, name) = partition("2 206848 102400 EFI system").unwrap();
        assert_eq!((region.number, region.start, region.size), (2, 206_848 * 512, 102_400 * 512));
        assert_eq!(name, "EFI system");
        assert_eq!(signature(" 0x3fffe00 gpt"), Some((0x3ff_fe00, "gpt".to_owned())));
        assert_eq!(signature("e00 gpt"), None);
    }
}
