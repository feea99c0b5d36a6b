//! Members of something larger that is not active now: nothing holds the disk, and yet an array, a pool or an
//! encrypted filesystem would be lost with it. They are refused unless the user names the kind.

use crate::disk::probe::Probe;
use crate::error::{Result, refused, usage};
use crate::hardware::block::Block;
use crate::words::region::Region;
use std::collections::BTreeMap;

/// A kind of member: its name in libblkid, a description, and the command that shows what it belongs to.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Name in libblkid, which blkid, lsblk and wipefs print.
    pub name: &'static str,
    what: &'static str,
    look: &'static str,
}

const fn kind(name: &'static str, what: &'static str, look: &'static str) -> Kind {
    Kind { name, what, look }
}

/// All kinds that are refused (util-linux 2.38 to 2.41: `blkid --list-filesystems`). In a command, `DEVICE`
/// is replaced by the device.
const KINDS: [Kind; 29] = [
    kind("LVM2_member", "a physical volume of LVM", "pvs"),
    kind("LVM1_member", "a physical volume of LVM 1", "pvs"),
    kind("linux_raid_member", "a member of a Linux RAID (md)", "mdadm --examine DEVICE"),
    kind("ddf_raid_member", "a member of a firmware RAID (DDF)", "mdadm --examine DEVICE"),
    kind("isw_raid_member", "a member of a firmware RAID (Intel)", "mdadm --examine DEVICE"),
    kind("lsi_mega_raid_member", "a member of a firmware RAID (LSI)", "wipefs --no-act DEVICE"),
    kind("via_raid_member", "a member of a firmware RAID (VIA)", "wipefs --no-act DEVICE"),
    kind("silicon_medley_raid_member", "a member of a firmware RAID (Silicon Image)", "wipefs --no-act DEVICE"),
    kind("nvidia_raid_member", "a member of a firmware RAID (NVIDIA)", "wipefs --no-act DEVICE"),
    kind("promise_fasttrack_raid_member", "a member of a firmware RAID (Promise)", "wipefs --no-act DEVICE"),
    kind("hpt45x_raid_member", "a member of a firmware RAID (HighPoint)", "wipefs --no-act DEVICE"),
    kind("hpt37x_raid_member", "a member of a firmware RAID (HighPoint)", "wipefs --no-act DEVICE"),
    kind("adaptec_raid_member", "a member of a firmware RAID (Adaptec)", "wipefs --no-act DEVICE"),
    kind("jmicron_raid_member", "a member of a firmware RAID (JMicron)", "wipefs --no-act DEVICE"),
    kind("zfs_member", "a member of a ZFS pool", "zpool import"),
    kind("crypto_LUKS", "an encrypted device (LUKS)", "cryptsetup luksDump DEVICE"),
    kind("BitLocker", "an encrypted device (BitLocker)", "cryptsetup bitlkDump DEVICE"),
    kind("FVAULT2", "an encrypted device (FileVault)", "cryptsetup fvault2Dump DEVICE"),
    kind("bcache", "a device of bcache", "bcache-super-show DEVICE"),
    kind("ceph_bluestore", "an OSD of Ceph", "ceph-bluestore-tool show-label --dev DEVICE"),
    kind("drbd", "a device of DRBD", "drbdadm status"),
    kind("DM_snapshot_cow", "the changes of a snapshot (device mapper)", "dmsetup table"),
    kind("DM_verity_hash", "the hashes of a verified device (dm-verity)", "veritysetup dump DEVICE"),
    kind("DM_integrity", "a device of dm-integrity", "integritysetup dump DEVICE"),
    kind("vdo", "a device of VDO", "blkid --probe DEVICE"),
    kind("stratis", "a device of a Stratis pool", "stratis pool list"),
    kind("oracleasm", "a disk of Oracle ASM", "oracleasm querydisk DEVICE"),
    kind("VMFS_volume_member", "a volume of VMware VMFS", "esxcli storage vmfs extent list"),
    kind("VMFS", "a filesystem of VMware", "esxcli storage vmfs extent list"),
];

impl Kind {
    /// Returns the kind with this name in libblkid. Fails (usage) for any other name.
    pub fn named(name: &str) -> Result<&'static Kind> {
        KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| {
            let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            usage(
                format!("--destroy: '{name}' is not a kind of member that flipslot protects"),
                format!("give a kind that the refusal named: {}", known.join(", ")),
            )
        })
    }
}

/// A member that was found on a disk.
#[derive(Debug, PartialEq, Eq)]
pub struct Member {
    kind: &'static Kind,
    /// Number of the partition that it is in; 0 for the disk itself.
    partition: u32,
    start: u64,
}

/// Finds the members on a disk of `size` bytes: on the whole of it, and in every one of these partitions.
pub fn find(probe: &Probe, size: u64, partitions: &[Region]) -> Result<Vec<Member>> {
    let whole = Region { number: 0, start: 0, size };
    let mut members = Vec::new();
    for region in [whole].iter().chain(partitions) {
        let region = Region { size: region.size.min(size.saturating_sub(region.start)), ..*region };
        if region.size == 0 {
            continue; // a table from a larger disk
        }
        // blkid reports one thing of several. If that can be a member, or is `several`, ask for each kind.
        let Some(content) = probe.look(region)?.content else { continue };
        if content.kind != "several" && !KINDS.iter().any(|kind| kind.name == content.kind) {
            continue;
        }
        for kind in &KINDS {
            if kind.name == content.kind || probe.finds(region, kind.name)? {
                members.push(Member { kind, partition: region.number, start: region.start });
            }
        }
    }
    Ok(members)
}

/// Refuses members of kinds that are not in `destroy`. `name` is the user's name for the disk, and `nodes`
/// are its partitions as the kernel knows them.
pub fn refuse(name: &str, members: &[Member], destroy: &[&Kind], nodes: &BTreeMap<u32, Block>) -> Result<()> {
    let kept: Vec<&Member> = members.iter().filter(|member| !destroy.contains(&member.kind)).collect();
    if kept.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = kept.iter().map(|member| member.told(name)).collect();
    let mut looks: Vec<String> = kept.iter().map(|member| member.look(name, nodes)).collect();
    looks.dedup();
    let mut kinds: Vec<&str> = kept.iter().map(|member| member.kind.name).collect();
    kinds.sort_unstable();
    kinds.dedup();
    Err(refused(
        format!("{}; it is inactive, but the array, pool or volume that it belongs to would lose it", told.join("; ")),
        format!(
            "see what it belongs to: {}; if it may be destroyed, add --destroy {}",
            looks.join("; "),
            kinds.join(",")
        ),
    ))
}

impl Member {
    fn told(&self, name: &str) -> String {
        let Kind { name: kind, what, .. } = self.kind;
        match self.partition {
            0 => format!("{name} is {what}: {kind}"),
            number => format!("partition {number} of {name} is {what}: {kind}"),
        }
    }

    fn look(&self, name: &str, nodes: &BTreeMap<u32, Block>) -> String {
        let place = match (self.partition, nodes.get(&self.partition)) {
            (0, _) => name.to_owned(),
            (_, Some(block)) => format!("/dev/{}", block.name().replace('!', "/")),
            // The kernel has no device for it.
            (_, None) if self.kind.look.contains("DEVICE") => {
                return format!("blkid --probe --offset={} {name}", self.start);
            }
            (_, None) => name.to_owned(),
        };
        self.kind.look.replace("DEVICE", &place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_may_go_and_the_rest_is_refused_with_the_command_that_looks_at_it() {
        let kind = |name| Kind::named(name).unwrap();
        let member = |name, partition| Member { kind: kind(name), partition, start: u64::from(partition) << 20 };
        let members = [member("crypto_LUKS", 0), member("LVM2_member", 2)];
        let text = |destroy: &[&Kind]| {
            refuse("/dev/sdb", &members, destroy, &BTreeMap::new())
                .map_err(|error| format!("{error:#} {}", crate::error::hint(&error).unwrap_or_default()))
        };
        let both = text(&[]).unwrap_err();
        for part in
            ["cryptsetup luksDump /dev/sdb", "partition 2 of /dev/sdb", "pvs", "--destroy LVM2_member,crypto_LUKS"]
        {
            assert!(both.contains(part), "{part}: {both}");
        }
        let one = text(&[kind("crypto_LUKS")]).unwrap_err();
        assert!(!one.contains("LUKS") && one.contains("--destroy LVM2_member"), "{one}");
        assert_eq!(text(&[kind("LVM2_member"), kind("crypto_LUKS")]), Ok(()));
        assert!(Kind::named("lvm").is_err());
    }
}
