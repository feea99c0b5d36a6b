//! Every reason for which a disk is refused: exit code 3, what was found, the command that releases it,
//! and the SHA-256 of the whole disk is what it was.

use crate::disks::lab::{Lab, MIB, SIZE, alone, create_words};
use crate::disks::signatures::{BY_HAND, BY_TOOLS, Make, kind_at, luks};
use crate::support::program::{Run, command, ended, tool};
use rustix::fs::OFlags;
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A disk in some state, and what must be said: `DISK` stands for its name, `BACKING` for its file.
struct Case {
    name: &'static str,
    /// Makes it so; returns the name by which the disk is given, and more words.
    prepare: fn(&mut Lab) -> (String, Vec<String>),
    says: &'static [&'static str],
}

/// The user has said all that can be said for it.
fn willing(lab: &Lab) -> Vec<String> {
    vec!["--yes".to_owned(), format!("--expect-serial={}", lab.backing())]
}

fn check(cases: &[Case]) {
    let _alone = alone();
    for case in cases {
        let mut lab = Lab::new();
        let (disk, words) = (case.prepare)(&mut lab);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        must_be_refused(&lab, case.name, (&disk, case.says), |lab| lab.create(&disk, &words));
    }
}

fn must_be_refused(lab: &Lab, name: &str, (disk, says): (&str, &[&str]), run: impl FnOnce(&Lab) -> Run) {
    let before = lab.digest(disk);
    let run = run(lab);
    assert_eq!(lab.digest(disk), before, "{name}: the disk has changed; {}", run.stderr);
    let says = says.iter().map(|text| text.replace("DISK", disk).replace("BACKING", &lab.backing()));
    let says: Vec<String> = says.chain(["next: ".to_owned()]).collect();
    assert_eq!(run.code, 3, "{name}: {}", run.stderr);
    for text in &says {
        assert!(run.stderr.contains(text), "{name}: '{text}' is missing in:\n{}", run.stderr);
    }
}

/// What uses it.
const IN_USE: &[Case] = &[
    Case {
        name: "mounted",
        prepare: |lab| mounted(lab, "mounted"),
        says: &["DISK is in use: mounted at ", "/mounted (loop", "release it: umount /"],
    },
    Case {
        name: "mounted at a place with a blank",
        prepare: |lab| mounted(lab, "my disk"),
        says: &["DISK is in use", r"/my\040disk'", "umount $'/"],
    },
    Case {
        name: "mounted in another mount namespace",
        prepare: |lab| {
            let disk = lab.disk();
            lab.ext4(&disk, None);
            let place = lab.directory("elsewhere");
            let line = format!("mount -o ro,noload {disk} {place} && exec sleep 600");
            lab.start(&["unshare", "--mount", "--propagation=private", "sh", "-c", &line], |process| {
                let comm = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
                comm == "sleep\n"
            });
            (disk, willing(lab))
        },
        says: &["/elsewhere", "in the mount namespace of process", "(sleep)", "nsenter --target", "--mount umount"],
    },
    Case {
        name: "a partition of it is mounted",
        prepare: |lab| {
            let disk = lab.attach("backing", &["--partscan"]);
            let part = lab.partition(&disk);
            lab.ext4(&part, None);
            let place = lab.directory("mounted");
            lab.mount(&["-o", "ro,noload", &part], &place);
            (disk, willing(lab))
        },
        says: &["DISK is in use: mounted at ", "p1)", "umount /"],
    },
    Case {
        name: "mounted twice, and all places are told",
        prepare: |lab| {
            let (disk, words) = mounted(lab, "first");
            let place = lab.directory("second");
            lab.mount(&["-o", "ro,noload", &disk], &place);
            (disk, words)
        },
        says: &["/first", "/second", "; umount /"],
    },
    Case {
        name: "swap",
        prepare: |lab| {
            let disk = lab.disk();
            swap(lab, &disk);
            (disk, willing(lab))
        },
        says: &["DISK is in use: DISK is swap", "release it: swapoff DISK"],
    },
    Case {
        name: "a partition of it is swap",
        prepare: |lab| {
            let disk = lab.attach("backing", &["--partscan"]);
            let part = lab.partition(&disk);
            swap(lab, &part);
            (disk, willing(lab))
        },
        says: &["DISKp1 is swap", "release it: swapoff DISKp1"],
    },
    Case {
        name: "a loop device is over it",
        prepare: |lab| {
            let disk = lab.disk();
            lab.attach(&disk, &[]);
            (disk, willing(lab))
        },
        says: &["is a loop device over DISK", "release it: losetup --detach /dev/loop"],
    },
    Case {
        name: "a loop device is over a loop device over a partition, and mounted",
        prepare: |lab| {
            let disk = lab.attach("backing", &["--partscan"]);
            let part = lab.partition(&disk);
            let first = lab.attach(&part, &[]);
            let second = lab.attach(&first, &[]);
            lab.ext4(&second, None);
            let place = lab.directory("mounted");
            lab.mount(&["-o", "ro,noload", &second], &place);
            (disk, willing(lab))
        },
        says: &["a loop device over DISKp1", "release it: umount /", "; losetup --detach /dev/loop"],
    },
    Case {
        name: "the second device of a btrfs, which mountinfo does not name",
        prepare: |lab| {
            let disk = lab.disk();
            lab.empty_file("other", 2 * SIZE);
            let other = lab.attach("other", &[]);
            tool("mkfs.btrfs", &["-q", "-f", "--mixed", "-d", "single", "-m", "single", &other, &disk]);
            let place = lab.directory("btrfs");
            lab.mount(&["-t", "btrfs", "-o", &format!("ro,device={disk}"), &other], &place);
            (disk, willing(lab))
        },
        says: &["DISK is in use: mounted at ", "/btrfs", "umount /"],
    },
    Case {
        name: "locked",
        prepare: |lab| {
            let disk = lab.disk();
            lab.start(&["flock", "--no-fork", &disk, "sleep", "600"], |process| {
                fs::read_to_string("/proc/locks").unwrap().contains(&format!(" {process} "))
            });
            (disk, willing(lab))
        },
        says: &["DISK is locked by process", "(sleep 600)", "wait until it ends"],
    },
    Case {
        name: "written by a process that keeps nobody away",
        prepare: |lab| {
            let disk = lab.disk();
            let line = format!("exec sleep 600 3<>{disk}");
            lab.start(&["sh", "-c", &line], |process| {
                fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default() == "sleep\n"
            });
            (disk, willing(lab))
        },
        says: &["DISK is in use: process ", "(sleep) has loop", "open for writing", "release it: kill "],
    },
    Case {
        name: "held by somebody who leaves no trace",
        prepare: |lab| {
            let disk = lab.disk();
            let alone = i32::try_from(OFlags::EXCL.bits()).unwrap();
            lab.keep_open(File::options().read(true).custom_flags(alone).open(&disk).unwrap());
            (disk, willing(lab))
        },
        says: &["DISK cannot be opened for this program alone", "lsblk DISK; lsof DISK"],
    },
];

#[test]
fn d30_a_disk_in_use_is_refused_with_its_user_and_the_command_that_ends_it() {
    check(IN_USE);
}

fn mounted(lab: &mut Lab, place: &str) -> (String, Vec<String>) {
    let disk = lab.disk();
    lab.ext4(&disk, None);
    let place = lab.directory(place);
    lab.mount(&["-o", "ro,noload", &disk], &place);
    (disk, willing(lab))
}

fn swap(lab: &mut Lab, device: &str) {
    tool("mkswap", &[device]);
    tool("swapon", &[device]);
    lab.later("swapoff", &[device]);
}

/// What cannot be written.
const NO_DISK: &[Case] = &[
    Case {
        name: "a partition",
        prepare: |lab| {
            let disk = lab.attach("backing", &["--partscan"]);
            (lab.partition(&disk), willing(lab))
        },
        says: &["DISK is a partition", "name the whole disk", "/dev/loop"],
    },
    Case {
        name: "read-only since it was attached",
        prepare: |lab| (lab.attach("backing", &["--read-only"]), willing(lab)),
        says: &["DISK is read-only", "blockdev --setrw DISK"],
    },
    Case {
        name: "made read-only",
        prepare: |lab| {
            let disk = lab.disk();
            tool("blockdev", &["--setro", &disk]);
            lab.later("blockdev", &["--setrw", &disk]); // the flag outlives what is attached
            (disk, willing(lab))
        },
        says: &["DISK is read-only", "blockdev --setrw DISK"],
    },
    Case {
        name: "too small",
        prepare: |lab| {
            lab.empty_file("backing", 100 * MIB);
            (lab.disk(), willing(lab))
        },
        says: &["a disk of 100MiB is too small", "131MiB"],
    },
    Case {
        name: "of another size than the user thinks",
        prepare: |lab| (lab.disk(), vec!["--size=2GiB".to_owned()]),
        says: &["DISK has 132MiB, not the 2GiB of --size", "omit --size"],
    },
    Case {
        name: "a drive without a medium",
        prepare: |lab| {
            let disk = lab.disk();
            tool("losetup", &["--detach", &disk]);
            lab.forget_last();
            (disk, willing(lab))
        },
        says: &["DISK has no medium in it", "lsblk --nodeps"],
    },
    Case {
        name: "a node of a disk that is gone",
        prepare: |lab| {
            let node = lab.path("sdx"); // sd's numbers, and no machine's last disk
            tool("mknod", &[&node, "b", "135", "240"]);
            (node, willing(lab))
        },
        says: &["DISK is not there any more, or its node is stale", "lsblk --nodeps"],
    },
    Case {
        name: "a link to a disk that is gone",
        prepare: |lab| {
            std::os::unix::fs::symlink("../../loop99", lab.folder().join("by-id")).unwrap();
            (lab.path("by-id"), willing(lab))
        },
        says: &["DISK is a link to nothing"],
    },
    Case {
        name: "a character device",
        prepare: |lab| ("/dev/null".to_owned(), willing(lab)),
        says: &["DISK is not a disk"],
    },
    Case {
        name: "in use, by another of its names",
        prepare: |lab| {
            let (disk, words) = mounted(lab, "mounted");
            let link = lab.path("ata-Model_with-Serial");
            std::os::unix::fs::symlink(disk, &link).unwrap();
            (link, words)
        },
        says: &["ata-Model_with-Serial is in use: mounted at ", "umount /"],
    },
    Case {
        name: "in use, by a node of its own in a container",
        prepare: |lab| {
            let (disk, words) = mounted(lab, "mounted");
            let number = disk.strip_prefix("/dev/loop").unwrap();
            let node = lab.path("node");
            tool("mknod", &[&node, "b", "7", number]);
            (node, words)
        },
        says: &["/node is in use: mounted at ", "umount /"],
    },
];

#[test]
fn d31_what_is_no_disk_that_can_be_written_is_refused() {
    check(NO_DISK);
}

#[test]
fn d32_members_of_what_is_not_active_are_refused_though_the_user_is_willing() {
    let _alone = alone();
    let refused = |lab: &mut Lab, kind: &str| {
        let disk = lab.disk();
        assert_eq!(kind_at(&disk, 0, SIZE), kind, "blkid sees it");
        let words = willing(lab);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let says = [kind, "it is inactive", &format!("add --destroy {kind}")].map(ToOwned::to_owned);
        let says: Vec<&str> = says.iter().map(String::as_str).collect();
        must_be_refused(lab, kind, (&disk, &says), |lab| lab.create(&disk, &words));
    };
    for (kind, make) in BY_HAND {
        let mut lab = Lab::new();
        make(Path::new(&lab.backing()), 0, SIZE);
        refused(&mut lab, kind);
    }
    for (kind, make) in BY_TOOLS {
        let mut lab = Lab::new();
        {
            let device = tool("losetup", &["--find", "--show", &lab.backing()]).trim().to_owned();
            make(&lab, &device);
            tool("losetup", &["--detach", &device]);
        }
        refused(&mut lab, kind);
    }
}

#[test]
fn d32_a_member_is_seen_though_another_program_keeps_an_older_look_at_the_disk_in_memory() {
    let _alone = alone();
    let mut lab = Lab::new();
    let disk = lab.disk();
    let older = File::open(&disk).unwrap();
    std::io::copy(&mut &older, &mut std::io::sink()).unwrap();
    // Through a partition, or here the file: the kernel keeps both apart from the whole disk.
    let (kind, make) = BY_HAND[1];
    make(Path::new(&lab.backing()), 0, SIZE);
    let words = willing(&lab);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    lab.create(&disk, &words).must_end(3, &[kind, "it is inactive"]);
    drop(older);
}

/// The table of a disk, and where its partition 2 or 5 is: 64 MiB, below which
/// there is no ZFS, from the 66th MiB on.
const MEMBER: (u64, u64) = (66 * MIB, 64 * MIB);

fn gpt(lab: &Lab) {
    let parts = ["--new=1:2048:+64M", "--new=2:135168:+64M", "--change-name=2:secret"];
    tool("sgdisk", &[&parts[..], &[&lab.backing()]].concat());
}

fn in_partition(lab: &mut Lab, make: Make) -> (String, Vec<String>) {
    make(Path::new(&lab.backing()), MEMBER.0, MEMBER.1);
    (lab.disk(), willing(lab))
}

/// Members in partitions.
const IN_PARTITIONS: &[Case] = &[
    Case {
        name: "LUKS in a partition",
        prepare: |lab| {
            gpt(lab);
            let (offset, size) = (format!("--offset={}", MEMBER.0), format!("--sizelimit={}", MEMBER.1));
            let part = lab.attach("backing", &[&offset, &size]);
            luks(lab, &part, "luks2");
            tool("losetup", &["--detach", &part]);
            lab.forget_last();
            (lab.disk(), willing(lab))
        },
        says: &["partition 2 of DISK is an encrypted device (LUKS): crypto_LUKS", "blkid --probe --offset=69206016"],
    },
    Case {
        name: "LUKS in a partition that the kernel knows",
        prepare: |lab| {
            tool("sgdisk", &["--new=1:2048:+64M", &lab.backing()]);
            let disk = lab.attach("backing", &["--partscan"]);
            let part = lab.partition(&disk);
            luks(lab, &part, "luks2");
            (disk, willing(lab))
        },
        says: &["partition 1 of DISK is", "cryptsetup luksDump DISKp1"],
    },
    Case {
        name: "RAID with its superblock at the end of a partition",
        prepare: |lab| {
            gpt(lab);
            in_partition(lab, BY_HAND[1].1)
        },
        says: &["partition 2 of DISK is a member of a Linux RAID (md): linux_raid_member"],
    },
    Case {
        name: "ZFS in a partition",
        prepare: |lab| {
            gpt(lab);
            in_partition(lab, BY_HAND[7].1)
        },
        says: &["partition 2 of DISK is a member of a ZFS pool: zfs_member", "zpool import"],
    },
    Case {
        name: "in a logical partition of an MBR",
        prepare: |lab| {
            // Type 5 from 2 MiB on, and in its table type 0x83 at 64 MiB from there.
            let entry = |kind: u8, start: u32, sectors: u32| {
                let words = [start.to_le_bytes(), sectors.to_le_bytes()].concat();
                [&[0, 0, 0, 0, kind, 0, 0, 0], &words[..]].concat()
            };
            lab.put(446, &entry(5, 4096, 260_096));
            lab.put(510, &[0x55, 0xaa]);
            lab.put(2 * MIB + 446, &entry(0x83, 131_072, 131_072));
            lab.put(2 * MIB + 510, &[0x55, 0xaa]);
            in_partition(lab, BY_HAND[4].1)
        },
        says: &["partition 5 of DISK is a member of a firmware RAID (Intel): isw_raid_member"],
    },
    Case {
        name: "in a partition that only the backup of a damaged table tells",
        prepare: |lab| {
            gpt(lab);
            lab.put(512, &[0; 512]);
            in_partition(lab, BY_HAND[8].1)
        },
        says: &["partition 2 of DISK is an encrypted device (BitLocker): BitLocker"],
    },
    Case {
        name: "two kinds, of which the user names one",
        prepare: |lab| {
            gpt(lab);
            BY_HAND[0].1(Path::new(&lab.backing()), 0, SIZE);
            let (disk, mut words) = in_partition(lab, BY_HAND[7].1);
            words.push("--destroy=zfs_member".to_owned());
            (disk, words)
        },
        says: &["DISK is a member of a Linux RAID (md)", "mdadm --examine DISK", "add --destroy linux_raid_member"],
    },
    Case {
        name: "two kinds at one place, of which blkid tells one",
        prepare: |lab| {
            BY_HAND[0].1(Path::new(&lab.backing()), 0, SIZE);
            BY_HAND[9].1(Path::new(&lab.backing()), 0, SIZE);
            let mut words = willing(lab);
            words.push("--destroy=linux_raid_member".to_owned());
            (lab.disk(), words)
        },
        says: &["DISK is an OSD of Ceph: ceph_bluestore", "add --destroy ceph_bluestore"],
    },
];

#[test]
fn d33_members_in_partitions_are_refused_which_the_kernel_need_not_know() {
    check(IN_PARTITIONS);
}

/// Another disk, maybe.
const NOT_MEANT: &[Case] = &[
    Case {
        name: "a filesystem, and no --yes",
        prepare: |lab| {
            let disk = lab.disk();
            lab.ext4(&disk, None);
            (disk, vec![])
        },
        says: &["DISK is not empty", "on the whole disk: ext4", "--yes --expect-serial BACKING"],
    },
    Case {
        name: "a table, and --yes without a serial number",
        prepare: |lab| {
            gpt(lab);
            (lab.disk(), vec!["--yes".to_owned()])
        },
        says: &["--yes does not say which disk is meant", "partition 2 'secret', 64MiB", "--expect-serial BACKING"],
    },
    Case {
        name: "another serial number",
        prepare: |lab| {
            gpt(lab);
            (lab.disk(), vec!["--yes".to_owned(), "--expect-serial=S5Y1NX0R".to_owned()])
        },
        says: &["DISK is not the expected disk: its serial is BACKING, not S5Y1NX0R", "lsblk --nodeps"],
    },
    Case {
        name: "another serial number than that of an empty disk",
        prepare: |lab| (lab.disk(), vec!["--expect-serial=S5Y1NX0R".to_owned()]),
        says: &["DISK is not the expected disk"],
    },
    Case {
        name: "none is expected, and it has one",
        prepare: |lab| (lab.disk(), vec!["--expect-serial=none".to_owned()]),
        says: &["its serial is BACKING, not none"],
    },
    Case {
        name: "bytes of no known kind at the beginning",
        prepare: |lab| {
            lab.put(MIB - 1, &[1]);
            (lab.disk(), vec!["--yes".to_owned()])
        },
        says: &["unrecognized data", "--expect-serial BACKING"],
    },
    Case {
        name: "bytes of no known kind at the end",
        prepare: |lab| {
            lab.put(SIZE - 1, &[1]);
            (lab.disk(), vec![])
        },
        says: &["DISK is not empty", "unrecognized data"],
    },
];

#[test]
fn d34_a_disk_that_is_not_surely_the_one_that_is_meant_is_refused() {
    check(NOT_MEANT);
}

#[test]
fn d35_the_disk_of_the_running_system_is_refused_whatever_lies_between() {
    let _alone = alone();
    // The root itself; an overlay over it; a file on it, in a loop device.
    for (name, between) in [("root", ""), ("overlay", OVERLAY), ("file", FILE)] {
        let mut lab = Lab::new();
        let tree = lab.directory("tree");
        for folder in ["dev", "proc", "sys", "run", "usr", "work"] {
            fs::create_dir(Path::new(&tree).join(folder)).unwrap();
        }
        fs::write(Path::new(&tree).join("flipslot"), "").unwrap();
        for link in ["bin", "lib", "lib64", "sbin"] {
            std::os::unix::fs::symlink(format!("usr/{link}"), Path::new(&tree).join(link)).unwrap();
        }
        // Where this lab is, so that a name from outside leads to the same thing inside.
        fs::create_dir_all(format!("{tree}{}", lab.path("root"))).unwrap();
        let disk = lab.disk();
        if name == "file" {
            let inner = lab.empty_file("tree-inner", 40 * MIB);
            lab.ext4(&inner.to_string_lossy(), Some(&tree));
            fs::rename(inner, Path::new(&tree).join("inner")).unwrap();
        }
        lab.ext4(&disk, Some(&tree));
        let root = lab.directory("root");
        let line = format!(
            "set -e; disk={disk}; root={root}; lab={}; mount -o ro,noload $disk $root; {between}
            for it in dev proc sys usr; do mount --rbind /$it $root/$it; done
            mount -t tmpfs none $root/run; mount --bind {} $root/flipslot; mount -t tmpfs none $root/work
            cp -r $lab/image $root/work/
            chroot $root /bin-sh; exit $?",
            lab.path(""),
            env!("CARGO_BIN_EXE_flipslot"),
        );
        let words: Vec<String> = willing(&lab);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let create = create_words(&disk, &words).join(" ").replace("oci:image", "oci:/work/image");
        let line = line.replace("/bin-sh", &format!("/flipslot {create}"));
        let says = ["DISK is the disk that this system runs from", "flipslot flash"];
        must_be_refused(&lab, name, (&disk, &says), |lab| in_namespace(lab, &line));
    }
}

/// The lower directory is where the options of the mount say, as on a live system.
const OVERLAY: &str = "mkdir $lab/upper; mount -t tmpfs none $lab/upper; mkdir $lab/upper/u $lab/upper/w $lab/over
    mount -t overlay -o lowerdir=$root,upperdir=$lab/upper/u,workdir=$lab/upper/w overlay $lab/over
    mount --bind $root $lab/over$root; root=$lab/over;";
/// The filesystem with the file stays mounted where it was when the loop device was made. (The shell
/// stays too, and with it the namespace: else the kernel knows the file by another path.)
const FILE: &str = "mkdir $lab/inner; mount -o ro,noload,loop $root/inner $lab/inner
    mount --bind $root $lab/inner$root; root=$lab/inner;";

#[allow(clippy::disallowed_methods)] // tests start programs by themselves
fn in_namespace(lab: &Lab, line: &str) -> Run {
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--mount", "--propagation=private", "sh", "-c", line]).current_dir(lab.folder());
    ended(&mut unshare)
}

#[test]
fn a_kind_that_is_not_kept_is_no_kind_to_destroy() {
    let lab = Lab::new();
    let run = ended(&mut command(lab.folder(), &create_words("d.raw", &["--size=600MiB", "--destroy=ext4"])));
    run.must_end(2, &["--destroy: 'ext4' is not a kind", "LVM2_member"]);
    let run = ended(&mut command(lab.folder(), &create_words("d.raw", &["--size=600MiB", "--expect-serial=x"])));
    run.must_end(2, &["d.raw is a disk file, which has no serial number"]);
}
