//! The identity and contents of a disk: a value that can be shown, compared and kept.

use crate::disk::probe::{Content, Probe};
use crate::disk::safety::{Device, System};
use crate::error::Result;
use crate::hardware::block::Block;
use crate::sys::block;
use crate::words::digest::Digest;
use crate::words::region::Region;
use crate::words::units::{Bytes, MIB};
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Minimum length of a partition table's entries in bytes (UEFI specification 2.10, 5.3.1).
const ENTRIES: u64 = 16 << 10;
/// Directory where udev keeps what it knows of a device, by type and numbers (systemd: sd-device).
const UDEV: &str = "/run/udev/data";

/// A disk and its contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The kernel's name for the disk, such as `sda`. After a restart, another disk may have it.
    pub kernel_name: String,
    /// Model name, if the disk reports one.
    pub model: Option<String>,
    /// All serial numbers, and names given by the manufacturer, that the disk reports, the usual one first.
    pub serials: Vec<String>,
    /// Size of the disk in bytes.
    pub size: u64,
    /// Size of a logical sector in bytes.
    pub sector_size: u64,
    /// Partition table, and contents of the partitions.
    pub contents: Contents,
    /// Devices that the kernel has built on the disk or its partitions, by the kernel's names.
    pub holders: Vec<String>,
}

/// Contents of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Kind of partition table, if there is one: `gpt`, `dos`.
    pub table: Option<String>,
    /// Digest of the first and last sectors, where tables are, and of the partitions listed there.
    pub table_digest: Digest,
    /// Content of the disk as a whole: a filesystem without a table.
    pub whole: Option<Content>,
    /// Partitions of the table.
    pub partitions: Vec<Partition>,
    /// True if the first and last MiB hold only zeros, and nothing is found on the disk.
    pub empty: bool,
}

/// A partition of a table, and its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Partition number in the table.
    pub number: u32,
    /// Offset of the first byte on the disk.
    pub start: u64,
    /// Length in bytes.
    pub size: u64,
    /// Name in the table; empty in an MBR.
    pub name: String,
    /// Content of the partition, if it is recognized.
    pub content: Option<Content>,
}

impl Identity {
    /// Reads the identity and contents of the disk that is open as `file`, and is `disk` in sysfs.
    pub fn of(file: &File, system: &System, disk: &Block) -> Result<Identity> {
        let size = block::size(file)?;
        let sector_size = block::sector_size(file)?;
        Ok(Identity {
            kernel_name: disk.name(),
            model: model(disk),
            serials: serials(disk, Path::new(UDEV)),
            size,
            sector_size,
            contents: Contents::of(file, size, sector_size)?,
            holders: system.holders(disk),
        })
    }

    /// Returns the usual serial number, for people to compare with `--expect-serial`; [`NO_SERIAL`] without one.
    pub fn serial(&self) -> &str {
        self.serials.first().map_or(NO_SERIAL, String::as_str)
    }

    /// Returns whether `expected` is one of the disk's serial numbers; or [`NO_SERIAL`], for a disk without any.
    pub fn is_called(&self, expected: &str) -> bool {
        let expected = expected.trim();
        self.serials.iter().any(|serial| serial == expected) || self.serials.is_empty() && expected == NO_SERIAL
    }
}

/// Returns the usual serial number of the disk that is open as `file`, if it has one; `name` is the disk's
/// name in errors.
pub fn serial_of(file: &File, name: &str) -> Result<Option<String>> {
    let block = Device::of(file)?.block(&System::this()?, name)?;
    Ok(serials(&block, Path::new(UDEV)).into_iter().next())
}

/// The word given for the serial number of a disk without one.
pub const NO_SERIAL: &str = "none";

impl Contents {
    /// Reads the contents of the first `size` bytes of `file`.
    pub fn of(file: &File, size: u64, sector_size: u64) -> Result<Contents> {
        let probe = Probe::of(file);
        let found = probe.look(Region { number: 0, start: 0, size })?;
        let mut partitions = Vec::new();
        for (region, name) in probe.partitions()? {
            let inside = region.start < size && region.size > 0;
            let within = Region { size: region.size.min(size.saturating_sub(region.start)), ..region };
            let content = if inside { probe.look(within)?.content } else { None };
            let Region { number, start, size } = region;
            partitions.push(Partition { number, start, size, name, content });
        }
        let is_found = found.content.is_some() || found.table.is_some() || !partitions.is_empty();
        Ok(Contents {
            table_digest: table_digest(file, size, sector_size, &partitions)?,
            empty: !is_found && is_blank(file, size)?,
            table: found.table,
            whole: found.content,
            partitions,
        })
    }

    /// Returns the partitions as regions.
    pub fn regions(&self) -> Vec<Region> {
        let region = |part: &Partition| Region { number: part.number, start: part.start, size: part.size };
        self.partitions.iter().map(region).collect()
    }
}

/// Prints one line for the disk, then one for each thing on it.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.model.as_deref().unwrap_or("no model");
        writeln!(f, "{model}, serial {}, {} ({})", self.serial(), Bytes(self.size), self.kernel_name)?;
        write!(f, "{}", self.contents)
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Contents { table, whole, partitions, empty, .. } = self;
        if let Some(table) = table {
            writeln!(f, "  a partition table ({table})")?;
        }
        if let Some(whole) = whole {
            writeln!(f, "  on the whole disk: {whole}")?;
        }
        for part in partitions {
            let content = part.content.as_ref().map_or("unrecognized content".to_owned(), ToString::to_string);
            let name = if part.name.is_empty() { String::new() } else { format!(" '{}'", part.name) };
            writeln!(f, "  partition {}{name}, {}: {content}", part.number, Bytes(part.size))?;
        }
        match (table, whole, partitions.is_empty(), empty) {
            (None, None, true, true) => writeln!(f, "  nothing: it is empty"),
            (None, None, true, false) => writeln!(f, "  unrecognized data"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        self.label.as_ref().map_or(Ok(()), |label| write!(f, " '{label}'"))
    }
}

/// Reads the model. SCSI, ATA and NVMe have it in the device's folder; virtio has none.
fn model(disk: &Block) -> Option<String> {
    let vendor = disk.attribute("device/vendor").filter(|vendor| vendor != "ATA" && !vendor.starts_with("0x"));
    let model = disk.attribute("device/model").or_else(|| disk.attribute("device/name"))?;
    Some(vendor.map_or_else(|| model.clone(), |vendor| format!("{vendor} {model}")))
}

/// Collects the serial numbers in the order of decision 28: what lsblk and smartctl show comes first.
fn serials(disk: &Block, udev: &Path) -> Vec<String> {
    let by_udev = udev_serials(udev, &disk.attribute("dev").unwrap_or_default());
    let told = [
        disk.attribute("serial"),                                      // virtio-blk
        disk.attribute("device/serial"),                               // NVMe, MMC
        disk.bytes("device/vpd_pg80").and_then(|page| page_80(&page)), // SCSI, SAS, ATA
    ];
    let names = [
        usb_serial(disk),
        disk.attribute("wwid"),
        disk.attribute("device/wwid"),
        disk.attribute("dm/uuid"),
        disk.attribute("loop/backing_file"),
    ];
    let mut serials: Vec<String> = Vec::new();
    for serial in told.into_iter().flatten().chain(by_udev).chain(names.into_iter().flatten()) {
        if !serials.contains(&serial) {
            serials.push(serial);
        }
    }
    serials
}

/// Parses the unit serial number page of SCSI: its length in bytes 2 and 3, then the number, padded with
/// blanks (SPC-4, 7.8.16; kernel: drivers/scsi/scsi_sysfs.c, `vpd_pg80`).
fn page_80(page: &[u8]) -> Option<String> {
    let length = usize::from(u16::from_be_bytes([*page.get(2)?, *page.get(3)?]));
    let number = page.get(4..(4 + length).min(page.len()))?;
    let text: String = String::from_utf8_lossy(number).chars().filter(|c| !c.is_control()).collect();
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Reads the serial numbers that udev got from the disk itself by other means; lsblk shows these.
fn udev_serials(udev: &Path, numbers: &str) -> Vec<String> {
    let known = fs::read_to_string(udev.join(format!("b{numbers}"))).unwrap_or_default();
    let value =
        |key: &str| known.lines().find_map(|line| line.strip_prefix("E:")?.strip_prefix(key)?.strip_prefix('='));
    let values = ["ID_SCSI_SERIAL", "ID_SERIAL_SHORT"].into_iter().filter_map(value);
    values.filter(|value| !value.is_empty()).map(ToOwned::to_owned).collect()
}

/// Reads the serial number of the USB device that the disk is attached to (kernel: ABI/stable/sysfs-bus-usb).
fn usb_serial(disk: &Block) -> Option<String> {
    let device = disk.folder().ancestors().find(|folder| folder.join("idVendor").is_file())?;
    let serial = fs::read_to_string(device.join("serial")).ok()?;
    Some(serial.trim().to_owned()).filter(|serial| !serial.is_empty())
}

/// Computes the digest of everything that defines partitions: the protective MBR, both tables, and the
/// partitions that were read from them.
fn table_digest(file: &File, size: u64, sector_size: u64, partitions: &[Partition]) -> Result<Digest> {
    let mut told = Vec::new();
    let (head, tail) = (2 * sector_size + ENTRIES, sector_size + ENTRIES);
    for (start, length) in [(0, head), (size.saturating_sub(tail), tail)] {
        let mut bytes = vec![0; usize::try_from(length.min(size))?];
        file.read_exact_at(&mut bytes, start).with_context(|| format!("reading the table at byte {start}"))?;
        told.extend(bytes);
    }
    for Partition { number, start, size, .. } in partitions {
        told.extend(format!("{number} {start} {size}\n").bytes());
    }
    Ok(Digest::of(&told))
}

/// Returns whether the first and the last MiB, where tables and most filesystems and RAIDs have their
/// signatures, hold only zeros.
fn is_blank(file: &File, size: u64) -> Result<bool> {
    let mut bytes = vec![0; usize::try_from(MIB)?];
    for place in [0, size.saturating_sub(MIB)] {
        let length = file.read_at(&mut bytes, place)?;
        if bytes[..length].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware::Sysfs;

    /// Makes a disk `sdx` with these attributes.
    fn disk(root: &Path, attributes: &[(&str, &[u8])]) -> Block {
        let folder = root.join("devices/usb2/2-1/2-1:1.0/block/sdx");
        fs::create_dir_all(folder.join("device")).unwrap();
        fs::create_dir_all(root.join("class/block")).unwrap();
        std::os::unix::fs::symlink(&folder, root.join("class/block/sdx")).unwrap();
        for (path, bytes) in attributes {
            fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
            fs::write(folder.join(path), bytes).unwrap();
        }
        Sysfs::at(root).unwrap().named("sdx").unwrap()
    }

    fn identity(serials: Vec<String>) -> Identity {
        let contents =
            Contents { table: None, table_digest: Digest::of(b""), whole: None, partitions: Vec::new(), empty: true };
        let kernel_name = "sdx".to_owned();
        Identity { kernel_name, model: None, serials, size: MIB, sector_size: 512, contents, holders: Vec::new() }
    }

    #[test]
    fn a_disk_is_known_by_every_number_that_it_tells_the_usual_one_first() {
        let root = tempfile::tempdir().unwrap();
        let page = b"\x00\x80\x00\x14      S5Y1NX0R123456";
        let attributes: [(&str, &[u8]); 5] = [
            ("dev", b"8:16\n"),
            ("device/vpd_pg80", page),
            ("device/wwid", b"naa.5002538f00000000\n"),
            ("device/vendor", b"ATA     \n"),
            ("device/model", b"Samsung SSD 870 \n"),
        ];
        let disk = disk(root.path(), &attributes);
        fs::write(root.path().join("devices/usb2/2-1/idVendor"), "0bda\n").unwrap();
        fs::write(root.path().join("devices/usb2/2-1/serial"), "USB123\n").unwrap();
        fs::write(root.path().join("b8:16"), "S:disk/by-id/x\nE:ID_SERIAL_SHORT=S5Y1NX0R123456\n").unwrap();
        assert_eq!(serials(&disk, root.path()), ["S5Y1NX0R123456", "USB123", "naa.5002538f00000000"]);
        assert_eq!(model(&disk).as_deref(), Some("Samsung SSD 870"));
    }

    #[test]
    fn virtio_and_nvme_have_their_number_at_other_places_and_a_disk_may_have_none() {
        for (path, told) in [("serial", "rack12-a"), ("device/serial", "S4EVNX0N")] {
            let root = tempfile::tempdir().unwrap();
            let disk = disk(root.path(), &[(path, told.as_bytes())]);
            assert_eq!(serials(&disk, root.path()), [told]);
        }
        let root = tempfile::tempdir().unwrap();
        assert!(serials(&disk(root.path(), &[("device/vpd_pg80", b"\0\x80\0\x04    ")]), root.path()).is_empty());
        assert_eq!(page_80(b"\0\x80"), None);
        assert_eq!(page_80(b"\0\x80\xff\xffAB"), Some("AB".to_owned()));
    }

    #[test]
    fn none_is_the_number_of_a_disk_that_has_none_and_of_no_other() {
        assert!(identity(vec![]).is_called("none") && !identity(vec![]).is_called("S5Y1"));
        let known = identity(vec!["S5Y1".into(), "naa.5".into()]);
        assert!(known.is_called("S5Y1") && known.is_called(" naa.5\n"));
        assert!(!known.is_called("none") && !known.is_called("S5Y") && !known.is_called(""));
    }

    #[test]
    fn what_is_known_of_a_disk_can_be_kept_and_compared() {
        let disk = identity(vec!["S5Y1".into()]);
        let kept = serde_json::to_string(&disk).unwrap();
        assert_eq!(serde_json::from_str::<Identity>(&kept).unwrap(), disk);
        let other = Identity { holders: vec!["md0".into()], ..disk.clone() };
        assert_ne!(other, disk);
    }

    #[test]
    fn another_table_has_another_digest() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8 * MIB).unwrap();
        let digest = |partitions: &[Partition]| table_digest(file.as_file(), 8 * MIB, 512, partitions).unwrap();
        let empty = digest(&[]);
        let logical = Partition { number: 5, start: MIB, size: MIB, name: String::new(), content: None };
        assert_ne!(digest(&[logical]), empty, "a logical partition, which neither end of the disk shows");
        file.as_file().write_all_at(b"EFI PART", 8 * MIB - 512).unwrap();
        assert_ne!(digest(&[]), empty, "the backup table");
    }
}
