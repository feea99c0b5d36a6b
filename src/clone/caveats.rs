//! Warns, before anything is written, of what stays the same on every copy although it should not. Refuses
//! nothing, because the contents of a slot are up to their owner.

use crate::clone::golden::Golden;
use crate::clone::renew::Identity;
use crate::clone::source::Source;
use crate::disk::table::golden::Part;
use crate::error::Result;
use crate::filesystem::kind::Filesystem;
use crate::init::overlay::LAYER_OF_SLOT;
use crate::mount::loop_device::Loop;
use crate::mount::scratch::Scratch;
use crate::root::mounted::directory::Root;
use crate::root::tree::Tree;
use crate::tool::Tool;
use crate::words::slot::Slot;
use std::os::fd::AsFd;
use std::time::Duration;

/// Files in which a system names disks.
const NAMING: [&str; 3] = ["etc/fstab", "etc/crypttab", "etc/default/grub"];
/// Limit for reading one file of a slot, in bytes: more than any of them has.
const LONGEST: u64 = 256 << 10;
/// Time limit for reading the beginning of a partition.
const PROBE: Duration = Duration::from_secs(10);

/// A warning for people.
pub struct Caveat {
    /// Slot that the warning is about, if it is about one.
    pub slot: Option<Slot>,
    /// Text of the warning.
    pub text: String,
}

/// Returns warnings of what stays the same on every copy.
pub fn of(source: &Source, golden: &Golden, scratch: &Scratch) -> Vec<Caveat> {
    let mut caveats = Vec::new();
    for slot in &golden.damaged {
        let text = "its entry and its record do not match: on the copies it holds nothing that boots";
        caveats.push(Caveat { slot: Some(*slot), text: text.to_owned() });
    }
    for part in &golden.table.parts {
        caveats.extend(unknown(source, golden, part).map(|text| Caveat { slot: None, text }));
    }
    let old = Identity::fresh(golden);
    for (slot, region) in &golden.slots {
        let Some((found, _)) = golden.filesystems.get(&region.number) else { continue };
        let of_slot = golden.part(region.number).map(|part| look_into(source, part, *found, scratch, &old));
        let caveat = |text| Caveat { slot: Some(*slot), text };
        match of_slot {
            Some(Ok(found)) => caveats.extend(found.into_iter().map(caveat)),
            Some(Err(error)) => caveats.push(caveat(format!("its contents could not be examined: {error:#}"))),
            None => {}
        }
    }
    caveats
}

/// Looks in a slot for files that name its disk, or that make the system a particular machine.
fn look_into(
    source: &Source,
    part: &Part,
    filesystem: Filesystem,
    scratch: &Scratch,
    old: &Identity,
) -> Result<Vec<String>> {
    let device = Loop::attach(source.file.as_fd(), part.region, source.sector)?;
    let mount = filesystem.mount_as_grub_reads(device.path(), &scratch.directory("golden")?)?;
    // Where the root is one file, what a machine was given is in flipslot's layer.
    let layer = mount.mount_point().join(LAYER_OF_SLOT.trim_start_matches('/'));
    let root = Root::open(if layer.is_dir() { &layer } else { mount.mount_point() })?;
    let mut caveats = Vec::new();
    for file in NAMING {
        let text = root.read(file, LONGEST)?.unwrap_or_default();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| old.stand_in(line)) {
            let line = line.trim().escape_debug();
            caveats.push(format!(
                "/{file} line {} names the golden disk by an identifier that changes on each copy ({line}): \
                 use LABEL= or PARTLABEL= there, or fix it on each copy",
                number + 1
            ));
        }
    }
    caveats.extend(own_identity(&root)?);
    drop(root);
    mount.close()?;
    Ok(caveats)
}

/// Warns of files that a machine made for itself while it ran from the slot.
fn own_identity(root: &Root) -> Result<Option<String>> {
    let id = root.read("etc/machine-id", LONGEST)?.unwrap_or_default();
    // A first boot generates an id if the file is empty or holds this word (machine-id(5)).
    let mut found = Vec::from_iter((!["", "uninitialized"].contains(&id.trim())).then_some("/etc/machine-id"));
    let is_key = |name: &String| name.starts_with("ssh_host_") && name.ends_with("_key");
    if root.list("etc/ssh")?.iter().any(is_key) {
        found.push("/etc/ssh/ssh_host_*");
    }
    Ok((!found.is_empty()).then(|| {
        format!(
            "it has {}: every copy will be the same machine to its network; remove them before cloning",
            found.join(" and ")
        )
    }))
}

/// Warns of a partition whose contents are not known here, and so keep their UUID (blkid(8)).
fn unknown(source: &Source, golden: &Golden, part: &Part) -> Option<String> {
    let number = part.region.number;
    let is_known = number == golden.boot.number || golden.filesystems.contains_key(&number);
    if is_known || golden.slots.values().any(|slot| slot.number == number) {
        return None;
    }
    let probe = Tool::new("blkid")
        .args(["--probe", "--output=value", "--match-tag=TYPE"])
        .arg(format!("--offset={}", part.region.start))
        .arg(format!("--size={}", part.region.size))
        .arg(&source.path)
        .deadline(PROBE);
    let kind = probe.run().ok()?.stdout.trim().to_owned();
    (!kind.is_empty())
        .then(|| format!("partition {number} ({}) holds {kind}: it is copied, but keeps its UUID", part.name))
}
