//! Block devices: the one that the root is on is found by its name, or waited for on the kernel's own events.

use crate::init::superblock::{PartitionNames, Superblock, partition_names, superblock};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Folder in which the kernel lists its block devices.
const BLOCK: &str = "/sys/class/block";
/// Size in bytes of the buffer for events: thousands of devices, as udev has it for itself.
const BUFFER: usize = 128 << 20;
/// Largest event in bytes (linux/kobject.h: UEVENT_BUFFER_SIZE is 2 KiB of properties, and the path before them).
const EVENT_MAX: usize = 16 << 10;

/// The device that `root=` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// PARTUUID of a partition.
    PartUuid(String),
    /// PARTLABEL of a partition.
    PartLabel(String),
    /// UUID of the filesystem.
    Uuid(String),
    /// LABEL of the filesystem.
    Label(String),
    /// Name of the device: `sda1`.
    Name(String),
}

/// A way to name a device: its key, the folder of such names, and what it means.
type Form = (&'static str, &'static str, fn(String) -> Wanted);

impl Wanted {
    /// Reads the value of `root=`; an error says which forms are known.
    pub fn read(root: &str) -> Result<Wanted, String> {
        let root = root.strip_prefix("block:").unwrap_or(root);
        let forms: [Form; 4] = [
            ("PARTUUID=", "/dev/disk/by-partuuid/", |name| Wanted::PartUuid(name.to_ascii_lowercase())),
            ("PARTLABEL=", "/dev/disk/by-partlabel/", Wanted::PartLabel),
            ("UUID=", "/dev/disk/by-uuid/", |name| Wanted::Uuid(name.to_ascii_lowercase())),
            ("LABEL=", "/dev/disk/by-label/", Wanted::Label),
        ];
        for (key, folder, form) in forms {
            if let Some(name) =
                root.strip_prefix(key).or_else(|| root.strip_prefix(folder)).filter(|name| !name.is_empty())
            {
                return Ok(form(name.to_owned()));
            }
        }
        match root.strip_prefix("/dev/") {
            Some(name) if !name.is_empty() && !name.starts_with("disk/") && !name.starts_with("mapper/") => {
                Ok(Wanted::Name(name.replace('/', "!")))
            }
            _ if root.is_empty() => Err("the command line has no root=".to_owned()),
            _ => Err(format!("root={root} is none of PARTUUID=, UUID=, LABEL=, PARTLABEL= and /dev/NAME")),
        }
    }
}

/// A block device that is the wanted one.
#[derive(Debug)]
pub struct Found {
    /// Path of its node.
    pub node: PathBuf,
    /// Filesystem in it, if it is one that is known here.
    pub superblock: Option<Superblock>,
}

/// Looks for the device among those that are there now.
pub fn find(wanted: &Wanted) -> Option<Found> {
    names().iter().find_map(|name| {
        let node = Path::new("/dev").join(name.replace('!', "/"));
        if let Wanted::Name(own) = wanted {
            return (own == name).then(|| opened(node)).flatten();
        }
        let names = || names_of(name);
        let is_partition = match wanted {
            Wanted::PartUuid(partuuid) => names().is_some_and(|names| names.partuuid == *partuuid),
            Wanted::PartLabel(label) => names().is_some_and(|names| names.label == *label),
            _ => false,
        };
        let by_filesystem = matches!(wanted, Wanted::Uuid(_) | Wanted::Label(_));
        let superblock =
            (is_partition || by_filesystem).then(|| File::open(&node).ok().as_ref().and_then(superblock)).flatten();
        let is_filesystem = superblock.as_ref().is_some_and(|found| match wanted {
            Wanted::Uuid(uuid) => found.uuid == *uuid,
            Wanted::Label(label) => found.label == *label,
            _ => false,
        });
        (is_partition || is_filesystem).then(|| opened(node)).flatten()
    })
}

/// Opens a device that is the wanted one. One that cannot be opened is still being made, and another event follows.
fn opened(node: PathBuf) -> Option<Found> {
    let device = File::open(&node).ok()?;
    Some(Found { superblock: superblock(&device), node })
}

/// Returns the names of all block devices, sorted.
pub fn names() -> Vec<String> {
    let entries = fs::read_dir(BLOCK).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Returns the names of a partition from the table of its disk; `None` for a whole disk.
fn names_of(name: &str) -> Option<PartitionNames> {
    let place = fs::canonicalize(format!("{BLOCK}/{name}")).ok()?;
    let number = fs::read_to_string(place.join("partition")).ok()?.trim().parse().ok()?;
    // Linux says it since 6.13 (block/partitions/core.c, part_uevent).
    let uevent = fs::read_to_string(place.join("uevent")).unwrap_or_default();
    let said = |key: &str| uevent.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
    if let Some(partuuid) = said("PARTUUID=") {
        return Some(PartitionNames { partuuid, label: said("PARTNAME=").unwrap_or_default() });
    }
    let disk = place.parent()?;
    let block_size = fs::read_to_string(disk.join("queue/logical_block_size")).ok()?.trim().parse().ok()?;
    let node = Path::new("/dev").join(disk.file_name()?.to_str()?.replace('!', "/"));
    partition_names(&File::open(node).ok()?, block_size, number)
}

/// The kernel's events (kernel: lib/kobject_uevent.c).
pub struct Events(OwnedFd);

/// An event, as far as it counts here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A device that may need this driver.
    Device {
        /// Identity of the device, as patterns of modules.alias match it.
        modalias: String,
    },
    /// Anything else, such as a block device that came or changed.
    Other,
    /// The kernel had to drop events.
    Lost,
}

impl Events {
    /// Begins to listen, which must come before the first look at what is there.
    pub fn listen() -> rustix::io::Result<Events> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
        let _ = set_socket_recv_buffer_size_force(&socket, BUFFER); // events that do not fit are noticed as lost
        bind(&socket, &SocketAddrNetlink::new(0, 1))?; // group 1 is the kernel's
        Ok(Events(socket))
    }

    /// Waits for events, for at most `patience` if there is one; returns all that are there, none if time is up.
    pub fn wait(&self, patience: Option<Duration>) -> Vec<Event> {
        let limit = patience.and_then(|patience| Timespec::try_from(patience).ok());
        let _ = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], limit.as_ref());
        let (mut events, mut buffer) = (Vec::new(), vec![0; EVENT_MAX]);
        loop {
            match recv(&self.0, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _)) => events.push(event(&buffer[..length])),
                Err(Errno::NOBUFS) => events.push(Event::Lost),
                Err(Errno::INTR) => {}
                Err(_) => return events,
            }
        }
    }
}

fn event(bytes: &[u8]) -> Event {
    let mut properties = bytes.split(|byte| *byte == 0).filter_map(|property| std::str::from_utf8(property).ok());
    let is_added = bytes.starts_with(b"add@");
    match properties.find_map(|property| property.strip_prefix("MODALIAS=")) {
        Some(modalias) if is_added => Event::Device { modalias: modalias.to_owned() },
        _ => Event::Other,
    }
}

/// Returns the identities of all devices that are there now.
pub fn modaliases() -> Vec<String> {
    let list = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let devices = list(Path::new("/sys/bus")).flat_map(|bus| list(&bus.join("devices")));
    let texts = devices.filter_map(|device| fs::read_to_string(device.join("modalias")).ok());
    texts.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_named_in_the_ways_that_people_know() {
        for (root, wanted) in [
            ("PARTUUID=ABCD-02", Wanted::PartUuid("abcd-02".to_owned())),
            ("/dev/disk/by-uuid/0A", Wanted::Uuid("0a".to_owned())),
            ("LABEL=my root", Wanted::Label("my root".to_owned())),
            ("PARTLABEL=Root", Wanted::PartLabel("Root".to_owned())),
            ("/dev/cciss/c0d0p1", Wanted::Name("cciss!c0d0p1".to_owned())),
            ("block:/dev/vda1", Wanted::Name("vda1".to_owned())),
        ] {
            assert_eq!(Wanted::read(root), Ok(wanted), "{root}");
        }
        for odd in ["", "nfs:host:/x", "/dev/mapper/vg-root", "UUID=", "/dev/", "/dev/disk/by-path/x", "live:x"] {
            assert!(Wanted::read(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_device_that_was_added_may_need_a_driver() {
        let added =
            b"add@/devices/pci0/virtio0\0ACTION=add\0SUBSYSTEM=virtio\0MODALIAS=virtio:d00000002v00001AF4\0SEQNUM=7\0";
        assert_eq!(event(added), Event::Device { modalias: "virtio:d00000002v00001AF4".to_owned() });
        assert_eq!(event(&[b"remove", &added[3..]].concat()), Event::Other);
        assert_eq!(event(b"add@/devices/x/block/vda\0ACTION=add\0DEVNAME=vda\0"), Event::Other);
        assert_eq!(event(b"\xff\xff\0"), Event::Other);
    }

    #[test]
    fn the_disks_of_this_machine_are_found_by_their_names() {
        // Where the tests run in a container, /dev may lack the nodes of the disks.
        for name in names().into_iter().filter(|name| Path::new("/dev").join(name).exists()).take(3) {
            assert_eq!(find(&Wanted::Name(name.clone())).unwrap().node, Path::new("/dev").join(name));
        }
        assert!(find(&Wanted::PartUuid("none".to_owned())).is_none());
        assert!(find(&Wanted::Label("no such label".to_owned())).is_none());
    }
}
