//! What a system waits for before it is up: fstab(5), crypttab(5), and `resume=`.

use crate::check::Subject;
use crate::check::surroundings::{Stands, Surroundings};
use crate::error::Result;
use crate::filesystem::{Root, put};
use crate::layer::LayerPath;

const FSTAB: &str = "etc/fstab";
const CRYPTTAB: &str = "etc/crypttab";
/// More bytes than either has.
const LONGEST: u64 = 256 << 10;
/// Options of a line that nothing waits for.
const OPTIONAL: [&str; 3] = ["nofail", "noauto", "x-systemd.automount"];
/// Types that are on no disk of this machine.
const ELSEWHERE: [&str; 6] = ["nfs", "nfs4", "cifs", "9p", "virtiofs", "ceph"];

/// fstab names what this disk does not have.
pub fn fstab(subject: &Subject) -> Result<Vec<String>> {
    Ok(bad_lines(subject, FSTAB, fstab_device)?.into_iter().map(|(_, why)| why).collect())
}

/// crypttab does.
pub fn crypttab(subject: &Subject) -> Result<Vec<String>> {
    Ok(bad_lines(subject, CRYPTTAB, crypttab_device)?.into_iter().map(|(_, why)| why).collect())
}

/// The command line does.
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

/// Lines of `file` whose device is not there: the line's number, and why.
fn bad_lines(subject: &Subject, file: &str, device: fn(&str) -> Option<&str>) -> Result<Vec<(usize, String)>> {
    let text = subject.tree.read(file, LONGEST)?.unwrap_or_default();
    let lines = text.lines().enumerate().filter_map(|(number, line)| Some((number, device(line)?)));
    let why = |(number, device): (usize, &str)| {
        let place = format!("/{file} line {} names {}", number + 1, device.escape_debug());
        let why = match stands(subject.disk.as_ref(), device) {
            Stands::Here => return None,
            Stands::OtherSlot(slot) => format!("{place}, which is slot {slot}"),
            Stands::Nowhere if subject.disk.is_some() => format!("{place}, which this disk does not have"),
            Stands::Nowhere => format!("{place}, which no new slot has"),
        };
        Some((number, why))
    };
    Ok(lines.filter_map(why).collect())
}

fn stands(disk: Option<&Surroundings>, device: &str) -> Stands {
    disk.map_or(Stands::Nowhere, |disk| disk.stands(device))
}

/// The device that a line of fstab waits for; `None` if it waits for none, or for no disk.
fn fstab_device(line: &str) -> Option<&str> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [device, _, kind, ..] = fields[..] else { return None };
    let options = fields.get(3).copied().unwrap_or_default();
    (!line.trim_start().starts_with('#') && is_disk(device) && !ELSEWHERE.contains(&kind) && !is_optional(options))
        .then_some(device)
}

/// The same of crypttab, whose second field is the device.
fn crypttab_device(line: &str) -> Option<&str> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [name, device, ..] = fields[..] else { return None };
    let options = fields.get(3).copied().unwrap_or_default();
    (!name.starts_with('#') && is_disk(device) && !is_optional(options)).then_some(device)
}

/// Whether a device is waited for; what else stands there is a file, a server, a name for the kernel.
fn is_disk(device: &str) -> bool {
    device.starts_with("/dev/") || device.contains('=')
}

fn is_optional(options: &str) -> bool {
    options.split(',').any(|option| OPTIONAL.contains(&option))
}

/// Makes comments of the lines of fstab that name what is not there.
pub fn comment_fstab(subject: &Subject, root: &Root) -> Result<Vec<String>> {
    comment(root, FSTAB, subject, bad_lines(subject, FSTAB, fstab_device)?)
}

/// The same in crypttab.
pub fn comment_crypttab(subject: &Subject, root: &Root) -> Result<Vec<String>> {
    comment(root, CRYPTTAB, subject, bad_lines(subject, CRYPTTAB, crypttab_device)?)
}

fn comment(root: &Root, file: &str, subject: &Subject, bad: Vec<(usize, String)>) -> Result<Vec<String>> {
    let text = subject.tree.read(file, LONGEST)?.unwrap_or_default();
    let mut new = String::new();
    for (number, line) in text.lines().enumerate() {
        if bad.iter().any(|(bad, _)| *bad == number) {
            new.push_str("# flipslot: not on this disk: ");
        }
        new.push_str(line);
        new.push('\n');
    }
    put::text(root, &LayerPath::clean(file.as_bytes())?, &new)?;
    Ok(bad.iter().map(|(number, _)| format!("/{file} line {} is a comment", number + 1)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_waits_for_its_device_unless_it_says_otherwise() {
        assert_eq!(fstab_device("UUID=1 /data ext4 defaults 0 2"), Some("UUID=1"));
        assert_eq!(fstab_device("/dev/sdb1\tnone\tswap\tsw"), Some("/dev/sdb1"));
        for line in [
            "# UUID=1 / ext4",
            "proc /proc proc",
            "tmpfs /tmp tmpfs size=1G",
            "UUID=1 /data ext4 defaults,nofail",
            "UUID=1 /data ext4 noauto",
            "UUID=1 /data ext4 rw,x-systemd.automount",
            "server:/x /x nfs defaults",
            "//server/x /x cifs",
            "UUID=1 /data",
            "",
        ] {
            assert_eq!(fstab_device(line), None, "{line}");
        }
        assert_eq!(crypttab_device("data UUID=2 none luks"), Some("UUID=2"));
        assert_eq!(crypttab_device("data UUID=2 none luks,nofail"), None);
        assert_eq!(crypttab_device("data /srv/data.luks none luks"), None, "a file");
    }
}
