//! The limits of an image's programs while they run in a chamber.

use rustix::thread::CapabilitySet;
use std::fs;
use std::time::Duration;

/// Least memory that a chamber gets, in bytes: dracut's tree, the initramfs that it packs, and its programs take
/// up to 300 MiB for any hardware.
const LEAST_MEMORY: u64 = 512 << 20;
/// Most memory that a chamber gets, in bytes.
const MOST_MEMORY: u64 = 4 << 30;

/// The limits of a chamber.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Time limit for each program.
    pub deadline: Duration,
    /// Capabilities that root keeps.
    pub capabilities: CapabilitySet,
    /// Memory in bytes for all programs together where this process may make a cgroup, else for each of them. Half
    /// of it is the size of each filesystem in memory.
    pub memory: u64,
    /// Processes at one time, where this process may make a cgroup.
    pub processes: u32,
    /// Files in each filesystem in memory.
    pub files: u32,
    /// Size of the largest file in bytes.
    pub largest_file: u64,
}

impl Shape {
    /// The limits for dracut and GRUB's programs, which make files of some 100 MiB in a minute or two. Keeps the
    /// capabilities to set owners and modes of files, to make device nodes (which cannot be opened there), and to
    /// chroot(2) further down, as ldconfig(8) does.
    pub fn of_tools() -> Shape {
        Shape {
            deadline: Duration::from_secs(600),
            capabilities: CapabilitySet::CHOWN
                | CapabilitySet::DAC_OVERRIDE
                | CapabilitySet::FOWNER
                | CapabilitySet::FSETID
                | CapabilitySet::SETFCAP
                | CapabilitySet::MKNOD
                | CapabilitySet::SYS_CHROOT,
            memory: (available() / 2).clamp(LEAST_MEMORY, MOST_MEMORY),
            processes: 4096,
            files: 100_000,
            largest_file: 1 << 30,
        }
    }
}

/// Returns the memory in bytes that can be had without pushing anything out (proc_meminfo(5), MemAvailable).
fn available() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB"));
    kibibytes.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0) << 10
}
