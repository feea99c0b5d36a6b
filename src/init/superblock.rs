//! Names of filesystems and of partitions, read from the disk, as there is no udev.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// Offset of `s_state`, and the bit in it for noted errors (ext4/ext4.h, struct ext4_super_block).
const EXT4_STATE_AT: u64 = 1024 + 58;
const EXT4_ERROR_FS: u8 = 2;

/// Name, UUID and label of a filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Name of the filesystem, as mount(2) takes it.
    pub filesystem: &'static str,
    /// UUID, as blkid spells it.
    pub uuid: String,
    /// Label; empty for none.
    pub label: String,
    /// Set if the kernel has noted that it found errors (ext4/ext4.h, EXT4_ERROR_FS). Only ext4 does.
    pub has_errors: bool,
}

/// Names of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionNames {
    /// PARTUUID, as the kernel spells it.
    pub partuuid: String,
    /// PARTLABEL, which GPT has; empty for none.
    pub label: String,
}

/// The places of what names a filesystem, in bytes from its beginning.
struct Layout {
    filesystem: &'static str,
    magic_at: u64,
    magic: &'static [u8],
    uuid_at: u64,
    label_at: u64,
    label_length: usize,
}

/// ext4 (ext4/ext4.h, struct ext4_super_block, at 1024), XFS (xfs/libxfs/xfs_format.h, struct xfs_dsb), btrfs
/// (uapi/linux/btrfs_tree.h, struct btrfs_super_block, at 64 KiB), EROFS (erofs/erofs_fs.h, struct erofs_super_block,
/// at 1024).
const LAYOUTS: [Layout; 3] = [
    Layout {
        filesystem: "ext4",
        magic_at: 1080,
        magic: &[0x53, 0xef],
        uuid_at: 1128,
        label_at: 1144,
        label_length: 16,
    },
    Layout { filesystem: "xfs", magic_at: 0, magic: b"XFSB", uuid_at: 32, label_at: 108, label_length: 12 },
    Layout {
        filesystem: "btrfs",
        magic_at: 0x1_0040,
        magic: b"_BHRfS_M",
        uuid_at: 0x1_0020,
        label_at: 0x1_012b,
        label_length: 256,
    },
];

/// Reads the superblock of a filesystem that a root may have; `None` if there is none of them.
pub fn superblock(device: &File) -> Option<Superblock> {
    superblock_at(device, 0)
}

/// Reads the superblock of the filesystem that begins at this byte of a disk.
pub fn superblock_at(disk: &File, start: u64) -> Option<Superblock> {
    let read = |at: u64, length| bytes(disk, start + at, length).ok();
    LAYOUTS.iter().find_map(|layout| {
        (read(layout.magic_at, layout.magic.len())? == layout.magic).then_some(())?;
        let uuid = hyphenated(&read(layout.uuid_at, 16)?);
        let label = read(layout.label_at, layout.label_length)?;
        let label = label.split(|byte| *byte == 0).next().unwrap_or_default();
        let has_errors = layout.filesystem == "ext4" && read(EXT4_STATE_AT, 1)?[0] & EXT4_ERROR_FS != 0;
        let label = String::from_utf8_lossy(label).into_owned();
        Some(Superblock { filesystem: layout.filesystem, uuid, label, has_errors })
    })
}

/// Reads the names of the partition `number` in the table of its disk; `None` without one that is understood.
pub fn partition_names(disk: &File, block_size: u64, number: u32) -> Option<PartitionNames> {
    let first = bytes(disk, 0, 512).ok()?;
    let is_table = first.ends_with(&[0x55, 0xaa]);
    // A GPT has a protective MBR before it, or it is left over (UEFI specification, "Protective MBR"): a type in one of
    // four entries of 16 bytes.
    if is_table && (0..4).any(|entry| first[446 + 16 * entry + 4] == 0xee) {
        let last = || ({ disk }.seek(SeekFrom::End(0)).ok()? / block_size).checked_sub(1)?.checked_mul(block_size);
        let is_header = |at: &u64| bytes(disk, *at, 8).is_ok_and(|begin| begin == b"EFI PART");
        let header = bytes(disk, Some(block_size).filter(is_header).or_else(last)?, 92).ok()?;
        if !header.starts_with(b"EFI PART") {
            return None;
        }
        // UEFI specification, "GPT Header": the place, number and size of the entries stand at 72, 80 and 84.
        let (entries, count) = (u64_at(&header, 72)?, u32_at(&header, 80)?);
        let size = u64::from(u32_at(&header, 84)?);
        let index = u64::from(number.checked_sub(1).filter(|index| *index < count)?);
        let at = entries.checked_mul(block_size)?.checked_add(index.checked_mul(size)?)?;
        let entry = bytes(disk, at, 128).ok()?;
        let units = entry[56..].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
        return Some(PartitionNames { partuuid: guid(&entry[16..32]), label: String::from_utf16_lossy(&units) });
    }
    // The disk's signature stands before the table (kernel: block/partitions/msdos.c).
    is_table
        .then(|| u32_at(&first, 440))
        .flatten()
        .map(|signature| PartitionNames { partuuid: format!("{signature:08x}-{number:02x}"), label: String::new() })
}

fn bytes(file: &File, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Spells 16 bytes as a UUID (RFC 9562, section 4).
fn hyphenated(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts: Vec<&str> =
        [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)].iter().filter_map(|(a, b)| hex.get(*a..*b)).collect();
    parts.join("-")
}

/// Spells a GUID, whose first three parts are stored with their lowest byte first.
fn guid(bytes: &[u8]) -> String {
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    hyphenated(&order.map(|index| bytes[index]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::Tool;

    fn disk(size: u64) -> (tempfile::NamedTempFile, String) {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(size).unwrap();
        let path = file.path().to_string_lossy().into_owned();
        (file, path)
    }

    #[test]
    fn a_filesystem_is_called_as_blkid_calls_it() {
        let uuid = "01234567-89ab-cdef-0123-456789abcdef";
        let makers: [(&str, &str, &[&str]); 3] = [
            ("ext4", "mkfs.ext4", &["-q", "-F", "-L", "my root", "-U", uuid]),
            ("xfs", "mkfs.xfs", &["-q", "-L", "my root", "-m", "uuid=01234567-89ab-cdef-0123-456789abcdef"]),
            ("btrfs", "mkfs.btrfs", &["-q", "-L", "my root", "-U", uuid]),
        ];
        for (filesystem, program, arguments) in makers {
            let (file, path) = disk(320 << 20);
            Tool::new(program).args(arguments.iter().copied()).arg(&path).run().unwrap();
            let found = superblock(file.as_file()).unwrap();
            assert_eq!(
                found,
                Superblock { filesystem, uuid: uuid.to_owned(), label: "my root".to_owned(), has_errors: false }
            );
            let blkid = Tool::new("blkid").args(["-p", "-o", "value", "-s", "UUID"]).arg(&path).run().unwrap();
            assert_eq!(blkid.stdout.trim(), uuid);
        }
        let (empty, _) = disk(1 << 20);
        assert_eq!(superblock(empty.as_file()), None);
    }

    #[test]
    fn a_partition_is_called_as_partx_calls_it() {
        let gpt = "label: gpt\nstart=2048, size=2048\nstart=4096, size=2048, name=\"root b\"\n";
        let dos = "label: dos\nlabel-id: 0xdeadbeef\nstart=2048, size=8192, type=5\nstart=4096, size=2048\n";
        for (table, number, label) in [(gpt, 2, "root b"), (dos, 5, "")] {
            let (file, path) = disk(16 << 20);
            let script = "printf %s \"$2\" | sfdisk -q \"$1\"";
            Tool::new("sh").args(["-ec", script, "sh", &path, table]).run().unwrap();
            let names = partition_names(file.as_file(), 512, number).unwrap();
            let of_partx = ["-g", "-r", "-o", "UUID", "-n", &number.to_string(), &path];
            let listed = Tool::new("partx").args(of_partx).run().unwrap();
            assert_eq!(names.partuuid, listed.stdout.trim());
            assert_eq!(names.label, label);
        }
        let (empty, _) = disk(1 << 20);
        assert_eq!(partition_names(empty.as_file(), 512, 1), None);
    }

    #[test]
    fn an_entry_that_is_outside_of_the_table_is_none() {
        let (file, path) = disk(16 << 20);
        Tool::new("sgdisk").args(["-n", "1:2048:+1M", &path]).run().unwrap();
        assert!(partition_names(file.as_file(), 512, 1).is_some());
        assert_eq!(partition_names(file.as_file(), 512, 0), None);
        assert_eq!(partition_names(file.as_file(), 512, 4000), None);
        // Without the first header, the last one counts.
        file.as_file().write_all_at(&[0; 8], 512).unwrap();
        assert!(partition_names(file.as_file(), 512, 1).is_some());
        file.as_file().write_all_at(b"EFI PART", 512).unwrap();
        // An absurd place of the entries.
        file.as_file().write_all_at(&[0xff; 8], 512 + 72).unwrap();
        assert_eq!(partition_names(file.as_file(), 512, 1), None);
    }
}
