//! Signatures of what may be on a disk, by the tools that make them, or by hand where these need a
//! kernel that has more, a pool of disks, or another system.

use crate::disks::lab::{Lab, MIB};
use crate::support::program::{ended, tool};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A kind, as libblkid calls it, and how it comes into a file or device from an offset on, in so many
/// bytes.
pub type Make = fn(&Path, u64, u64);

/// The same by a tool, which takes a whole device.
pub type MakeByTool = fn(&Lab, &str);

/// What is made by hand, at any place.
pub const BY_HAND: [(&str, Make); 12] = [
    ("linux_raid_member", md_0_90),
    ("linux_raid_member", |path, start, size| md_1(path, start, size - 8192)),
    ("linux_raid_member", |path, start, _| md_1(path, start, 0)),
    ("linux_raid_member", |path, start, _| md_1(path, start, 4096)),
    ("isw_raid_member", isw),
    ("ddf_raid_member", ddf),
    ("promise_fasttrack_raid_member", promise),
    ("zfs_member", zfs),
    ("BitLocker", bitlocker),
    ("ceph_bluestore", ceph),
    ("drbd", drbd),
    ("VMFS_volume_member", vmfs),
];

/// What the real tools make of a whole device.
pub const BY_TOOLS: [(&str, MakeByTool); 4] = [
    ("LVM2_member", |_, device| {
        tool("pvcreate", &["--force", "--yes", device]);
    }),
    ("crypto_LUKS", |lab, device| luks(lab, device, "luks1")),
    ("crypto_LUKS", |lab, device| luks(lab, device, "luks2")),
    ("bcache", |_, device| {
        tool("make-bcache", &["-B", device]);
    }),
];

/// LUKS with a key that costs no time.
pub fn luks(lab: &Lab, device: &str, version: &str) {
    std::fs::write(lab.path("key"), "not a secret").unwrap();
    let cheap = if version == "luks2" { vec!["--pbkdf=pbkdf2"] } else { vec![] };
    let words = ["luksFormat", "--batch-mode", "--type", version, "--pbkdf-force-iterations=1000"];
    tool("cryptsetup", &[&words, &cheap[..], &["--key-file", &lab.path("key"), device]].concat());
}

fn write(path: &Path, offset: u64, bytes: &[u8]) {
    File::options().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

/// Fields at their offsets.
fn fields(size: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; size];
    for (at, field) in fields {
        bytes[*at..at + field.len()].copy_from_slice(field);
    }
    bytes
}

const MD_MAGIC: [u8; 4] = 0xa92b_4efc_u32.to_le_bytes();

/// linux/raid/md_p.h, `mdp_super_t`: 64 KiB from the end, at a whole 64 KiB.
fn md_0_90(path: &Path, start: u64, size: u64) {
    let superblock =
        fields(4096, &[(0, &MD_MAGIC), (8, &90_u32.to_le_bytes()), (20, &7_u32.to_le_bytes()), (40, &[2])]);
    write(path, start + (size & !0xffff) - 0x1_0000, &superblock);
}

/// The same header, `mdp_superblock_1`, with its checksum; `at` is where it is: 1.0 at the end, 1.1 at
/// the beginning, 1.2 after 4 KiB.
fn md_1(path: &Path, start: u64, at: u64) {
    let mut superblock = fields(
        512,
        &[
            (0, &MD_MAGIC),
            (4, &1_u32.to_le_bytes()),
            (16, b"flipslot's array"),
            (32, b"host:0"),
            (72, &1_u32.to_le_bytes()),
            (80, &1000_u64.to_le_bytes()),
            (92, &2_u32.to_le_bytes()),
            (128, &2048_u64.to_le_bytes()),
            (136, &1000_u64.to_le_bytes()),
            (144, &(at / 512).to_le_bytes()),
        ],
    );
    let words = superblock[..256].chunks(4).map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap())));
    let sum: u64 = words.sum();
    let sum = u32::try_from((sum & 0xffff_ffff) + (sum >> 32)).unwrap();
    superblock[216..220].copy_from_slice(&sum.to_le_bytes());
    write(path, start + at, &superblock);
}

/// mdadm, super-intel.c: in the last sector but one.
fn isw(path: &Path, start: u64, size: u64) {
    write(path, start + size - 1024, b"Intel Raid ISM Cfg Sig. 1.0.00");
}

/// mdadm, super-ddf.c: the anchor in the last sector, which says where the header is.
fn ddf(path: &Path, start: u64, size: u64) {
    let last = (size / 512 - 1).to_be_bytes();
    let anchor = fields(
        512,
        &[(0, &0xde11_de11_u32.to_be_bytes()), (8, b"Linux-MD-flipslot-guid-x"), (32, b"01.02.00"), (96, &last)],
    );
    write(path, start + size - 512, &anchor);
}

/// util-linux, superblocks/promise_raid.c: it looks in 13 places, this one the farthest from the end.
fn promise(path: &Path, start: u64, size: u64) {
    write(path, start + size - 3087 * 512, b"Promise Technology, Inc.");
}

/// ZFS on-disk specification, 1.2 and 1.3: two labels of 256 KiB at the beginning and two at the end,
/// each with an array of uberblocks in its second half.
fn zfs(path: &Path, start: u64, size: u64) {
    let label = 256 << 10;
    for at in [0, label, size - 2 * label, size - label] {
        for number in 0..128_u64 {
            let uberblock: Vec<u8> =
                [0x00ba_b10c, 5000, 10 + number, 99].iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
            write(path, start + at + label / 2 + number * 1024, &uberblock);
        }
    }
}

/// cryptsetup, lib/bitlk/bitlk.c: a boot sector that says where the metadata are.
fn bitlocker(path: &Path, start: u64, _: u64) {
    let sector = fields(512, &[(0, b"\xeb\x58\x90-FVE-FS-"), (0xb0, &MIB.to_le_bytes()), (510, &[0x55, 0xaa])]);
    write(path, start, &sector);
    write(path, start + MIB, &fields(112, &[(0, b"-FVE-FS-"), (8, &112_u16.to_le_bytes()), (10, &[2])]));
}

/// Ceph, os/bluestore/BlueStore.cc: the label of a block device.
fn ceph(path: &Path, start: u64, _: u64) {
    write(path, start, b"bluestore block device\n5b6f6b3a-1111-2222-3333-444455556666\n");
}

/// drbd-utils, drbdmeta.c, `md_on_disk_08`: in the last 4 KiB.
fn drbd(path: &Path, start: u64, size: u64) {
    let metadata = fields(
        4096,
        &[
            (0, &1000_u64.to_be_bytes()),
            (60, &0x8374_026b_u32.to_be_bytes()),
            (64, &2048_u32.to_be_bytes()),
            (72, &1_u32.to_be_bytes()),
        ],
    );
    write(path, start + size - 4096, &metadata);
}

/// util-linux, superblocks/vmfs.c: after one MiB.
fn vmfs(path: &Path, start: u64, _: u64) {
    write(path, start + MIB, &0xc001_d00d_u32.to_le_bytes());
}

/// What blkid, which is the judge here, calls what is in `size` bytes from `start` on.
#[allow(clippy::disallowed_methods)] // tests start programs by themselves
pub fn kind_at(path: &str, start: u64, size: u64) -> String {
    let place = [format!("--offset={start}"), format!("--size={size}")];
    let mut blkid = std::process::Command::new("blkid");
    let run = ended(blkid.args(["--probe", "--output=value", "--match-tag=TYPE", &place[0], &place[1], path]));
    match run.code {
        8 => "several".to_owned(),
        _ => run.stdout.trim().to_owned(),
    }
}
