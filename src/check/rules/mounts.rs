//! Rules about devices that a system waits for before it is up: fstab(5), crypttab(5), and `resume=`.

use crate::check::partition_names::{PartitionNames, Stands, unescaped};
use crate::check::subject::{FixContext, Subject};
use crate::error::Result;
use crate::layer::LayerPath;
use crate::root::edit::Edit;
use crate::root::tree::Tree;

const FSTAB: &str = "etc/fstab";
const CRYPTTAB: &str = "etc/crypttab";
/// The most bytes that are read of fstab or crypttab, which is more than either has.
const LONGEST: u64 = 256 << 10;
/// Options of lines that nothing waits for, or whose device comes over the network, which cannot be seen
/// here.
const OPTIONAL: [&str; 4] = ["nofail", "noauto", "x-systemd.automount", "_netdev"];
/// Devices that the system makes by itself while it comes up.
const MADE: [&str; 3] = ["/dev/zram", "/dev/loop", "/dev/ram"];
/// Filesystem types that are not on a disk of this machine.
const ELSEWHERE: [&str; 6] = ["nfs", "nfs4", "cifs", "9p", "virtiofs", "ceph"];

/// Finds lines of fstab that wait for a device which this disk does not have.
pub fn fstab(subject: &Subject) -> Result<Vec<String>> {
    Ok(FSTAB_LINES.bad(subject.tree, subject.names.as_ref())?.into_iter().map(|bad| bad.why).collect())
}

/// Finds lines of crypttab that wait for a device which this disk does not have.
pub fn crypttab(subject: &Subject) -> Result<Vec<String>> {
    Ok(CRYPTTAB_LINES.bad(subject.tree, subject.names.as_ref())?.into_iter().map(|bad| bad.why).collect())
}

/// Finds a `resume=` on the command line that names a device which this disk does not have.
pub fn resume(subject: &Subject) -> Result<Vec<String>> {
    let device = subject.word("resume").filter(|device| !device.is_empty());
    let stands = device.map(|device| (device, stands(subject.names.as_ref(), device)));
    Ok(match stands {
        Some((device, Stands::Nowhere | Stands::OtherSlot(_))) => {
            vec![format!("the command line says resume={}, and this disk has no such partition", device.escape_debug())]
        }
        _ => Vec::new(),
    })
}

/// A file of lines, each of which may wait for a device.
struct DeviceLines {
    /// Path of the file.
    file: &'static str,
    /// Returns the device that a line waits for.
    device: fn(&str) -> Option<String>,
}

const FSTAB_LINES: DeviceLines = DeviceLines { file: FSTAB, device: fstab_device };
const CRYPTTAB_LINES: DeviceLines = DeviceLines { file: CRYPTTAB, device: crypttab_device };

/// A line whose device is not there.
struct BadLine {
    /// Number of the line, from 0.
    number: usize,
    /// The finding.
    why: String,
}

impl DeviceLines {
    /// Returns the lines whose device is not there.
    fn bad(&self, tree: &dyn Tree, names: Option<&PartitionNames>) -> Result<Vec<BadLine>> {
        let mapped: Vec<String> = lines(tree, CRYPTTAB)?.iter().filter_map(|line| mapped_name(line)).collect();
        let lines = lines(tree, self.file)?;
        let waits = lines.iter().enumerate().filter_map(|(number, line)| Some((number, (self.device)(line)?)));
        let bad = |(number, device): (usize, String)| {
            // A device that crypttab makes depends on the one that it is made from, which has a rule of its own.
            if mapped.contains(&device) {
                return None;
            }
            let line = format!("/{} line {} names {}", self.file, number + 1, device.escape_debug());
            let why = match stands(names, &device) {
                Stands::Here => return None,
                Stands::OtherSlot(slot) => format!("{line}, which is slot {slot}"),
                Stands::Nowhere if names.is_some() => format!("{line}, which this disk does not have"),
                Stands::Nowhere => format!("{line}, which no new slot has"),
            };
            Some(BadLine { number, why })
        };
        Ok(waits.filter_map(bad).collect())
    }

    /// Comments out the lines whose device is not there; returns what was done.
    fn comment_out(&self, context: &FixContext, root: &mut dyn Edit) -> Result<Vec<String>> {
        let bad = self.bad(root, context.names.as_ref())?;
        let old = root.read_bytes(self.file, LONGEST)?.unwrap_or_default();
        let mut new = Vec::new();
        for (number, line) in old.split_inclusive(|byte| *byte == b'\n').enumerate() {
            if bad.iter().any(|bad| bad.number == number) {
                new.extend(b"# flipslot: not on this disk: ");
            }
            new.extend(line);
        }
        root.put_text(&LayerPath::clean(self.file.as_bytes())?, &new)?;
        Ok(bad.iter().map(|bad| format!("/{} line {} is commented out", self.file, bad.number + 1)).collect())
    }
}

fn lines(tree: &dyn Tree, file: &str) -> Result<Vec<String>> {
    Ok(tree.read(file, LONGEST)?.unwrap_or_default().lines().map(ToOwned::to_owned).collect())
}

fn stands(disk: Option<&PartitionNames>, device: &str) -> Stands {
    disk.map_or_else(|| PartitionNames::of_any_disk().stands(device), |disk| disk.stands(device))
}

/// Returns the device that a line of fstab waits for; `None` if it waits for none, or for something that is
/// not a disk.
fn fstab_device(line: &str) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [device, _, kind, ..] = fields[..] else { return None };
    let options = fields.get(3).copied().unwrap_or_default();
    (!line.trim_start().starts_with('#') && is_disk(device) && !ELSEWHERE.contains(&kind) && !is_optional(options))
        .then(|| unescaped(device, "\\", 8))
}

/// Like [`fstab_device`], but for crypttab, where the device is the second field.
fn crypttab_device(line: &str) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [name, device, ..] = fields[..] else { return None };
    let options = fields.get(3).copied().unwrap_or_default();
    (!name.starts_with('#') && is_disk(device) && !is_optional(options)).then(|| device.to_owned())
}

/// Returns the path of the device that a line of crypttab makes.
fn mapped_name(line: &str) -> Option<String> {
    line.split_whitespace().next().filter(|name| !name.starts_with('#')).map(|name| format!("/dev/mapper/{name}"))
}

/// Returns true if a field names a device to wait for. Other fields name a file, a server, a filesystem of
/// the kernel, or a device that needs no other.
fn is_disk(device: &str) -> bool {
    (device.starts_with("/dev/") || device.contains('=')) && !MADE.iter().any(|made| device.starts_with(made))
}

fn is_optional(options: &str) -> bool {
    options.split(',').any(|option| OPTIONAL.contains(&option))
}

/// Comments out the lines of fstab whose device is not there.
pub fn comment_fstab(context: &FixContext, root: &mut dyn Edit) -> Result<Vec<String>> {
    FSTAB_LINES.comment_out(context, root)
}

/// Comments out the lines of crypttab whose device is not there.
pub fn comment_crypttab(context: &FixContext, root: &mut dyn Edit) -> Result<Vec<String>> {
    CRYPTTAB_LINES.comment_out(context, root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_waits_for_its_device_unless_it_says_otherwise() {
        assert_eq!(fstab_device("UUID=1 /data ext4 defaults 0 2"), Some("UUID=1".into()));
        assert_eq!(fstab_device("/dev/sdb1\tnone\tswap\tsw"), Some("/dev/sdb1".into()));
        assert_eq!(fstab_device(r"LABEL=my\040disk /data ext4"), Some("LABEL=my disk".into()));
        for line in [
            "# UUID=1 / ext4",
            "proc /proc proc",
            "tmpfs /tmp tmpfs size=1G",
            "UUID=1 /data ext4 defaults,nofail",
            "UUID=1 /data ext4 noauto",
            "UUID=1 /data ext4 rw,x-systemd.automount",
            "server:/x /x nfs defaults",
            "//server/x /x cifs",
            "UUID=1 /data ext4 _netdev",
            "/dev/zram0 none swap",
            "UUID=1 /data",
            "",
        ] {
            assert_eq!(fstab_device(line), None, "{line}");
        }
        assert_eq!(crypttab_device("data UUID=2 none luks"), Some("UUID=2".into()));
        assert_eq!(crypttab_device("data UUID=2 none luks,nofail"), None);
        assert_eq!(crypttab_device("data /srv/data.luks none luks"), None, "a file");
    }
}
