//! Rules about devices that a system waits for before it is up: fstab(5), crypttab(5), and `resume=`.

use crate::check::partition_names::{Stands, Surroundings, unescaped};
use crate::check::subject::Subject;
use crate::error::Result;
use crate::layer::LayerPath;
use crate::root::mounted::directory::Root;
use crate::root::mounted::put;

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
    Ok(bad_lines(subject, FSTAB, fstab_device)?.into_iter().map(|(_, why)| why).collect())
}

/// Finds lines of crypttab that wait for a device which this disk does not have.
pub fn crypttab(subject: &Subject) -> Result<Vec<String>> {
    Ok(bad_lines(subject, CRYPTTAB, crypttab_device)?.into_iter().map(|(_, why)| why).collect())
}

/// Finds a `resume=` on the command line that names a device which this disk does not have.
pub fn resume(subject: &Subject) -> Result<Vec<String>> {
    let device = subject.word("resume").filter(|device| !device.is_empty());
    let stands = device.map(|device| (device, stands(subject.disk.as_ref(), device)));
    Ok(match stands {
        Some((device, Stands::Nowhere | Stands::OtherSlot(_))) => {
            vec![format!("the command line says resume={}, and this disk has no such partition", device.escape_debug())]
        }
        _ => Vec::new(),
    })
}

/// Returns the lines of `file` whose device is not there: the number of the line, from 0, and the reason.
fn bad_lines(subject: &Subject, file: &str, device: fn(&str) -> Option<String>) -> Result<Vec<(usize, String)>> {
    let mapped: Vec<String> = lines(subject, CRYPTTAB)?.iter().filter_map(|line| mapped_name(line)).collect();
    let lines = lines(subject, file)?;
    let waits = lines.iter().enumerate().filter_map(|(number, line)| Some((number, device(line)?)));
    let why = |(number, device): (usize, String)| {
        // A device that crypttab makes depends on the one that it is made from, which has a rule of its own.
        if mapped.contains(&device) {
            return None;
        }
        let place = format!("/{file} line {} names {}", number + 1, device.escape_debug());
        let why = match stands(subject.disk.as_ref(), &device) {
            Stands::Here => return None,
            Stands::OtherSlot(slot) => format!("{place}, which is slot {slot}"),
            Stands::Nowhere if subject.disk.is_some() => format!("{place}, which this disk does not have"),
            Stands::Nowhere => format!("{place}, which no new slot has"),
        };
        Some((number, why))
    };
    Ok(waits.filter_map(why).collect())
}

fn lines(subject: &Subject, file: &str) -> Result<Vec<String>> {
    Ok(subject.tree.read(file, LONGEST)?.unwrap_or_default().lines().map(ToOwned::to_owned).collect())
}

fn stands(disk: Option<&Surroundings>, device: &str) -> Stands {
    disk.map_or_else(|| Surroundings::of_any_disk().stands(device), |disk| disk.stands(device))
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
pub fn comment_fstab(subject: &Subject, root: &Root) -> Result<Vec<String>> {
    comment(root, FSTAB, subject, bad_lines(subject, FSTAB, fstab_device)?)
}

/// Comments out the lines of crypttab whose device is not there.
pub fn comment_crypttab(subject: &Subject, root: &Root) -> Result<Vec<String>> {
    comment(root, CRYPTTAB, subject, bad_lines(subject, CRYPTTAB, crypttab_device)?)
}

fn comment(root: &Root, file: &str, subject: &Subject, bad: Vec<(usize, String)>) -> Result<Vec<String>> {
    let old = subject.tree.read_bytes(file, LONGEST)?.unwrap_or_default();
    let mut new = Vec::new();
    for (number, line) in old.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if bad.iter().any(|(bad, _)| *bad == number) {
            new.extend(b"# flipslot: not on this disk: ");
        }
        new.extend(line);
    }
    put::text(root, &LayerPath::clean(file.as_bytes())?, &new)?;
    Ok(bad.iter().map(|(number, _)| format!("/{file} line {} is commented out", number + 1)).collect())
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
