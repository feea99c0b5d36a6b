//! Mounts the root that the command line names, as soon as its device is there.

use crate::error::{Result, failed};
use crate::init::check::repair;
use crate::init::devices::{self, Event, Events, Found, Wanted};
use crate::init::kernel_log::{Level, log};
use crate::init::load::Loader;
use crate::init::words::Words;
use anyhow::Context;
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_remount};
use std::ffi::CString;
use std::fs;
use std::time::{Duration, Instant};

/// Place at which the root is mounted in the initramfs.
pub const PLACE: &str = "/sysroot";
/// Time after which a wait is reported: disks behind a large controller take up to a minute.
const LONG: Duration = Duration::from_secs(10);

/// Waits for the device and mounts it; repairs it if the kernel has noted errors in it.
pub fn mount_root(words: &Words, events: &Events, loader: &mut Loader) -> Result<()> {
    let wanted = Wanted::read(&words.root).map_err(|found| failed(found, "name the root: root=PARTUUID=…"))?;
    mount_device(&wanted, PLACE, words, events, loader)
}

/// Waits for a device and mounts it at `place`, as the words say.
pub fn mount_device(wanted: &Wanted, place: &str, words: &Words, events: &Events, loader: &mut Loader) -> Result<()> {
    let found = wait(wanted, words, events, loader)?;
    let has_errors = found.superblock.as_ref().is_some_and(|superblock| superblock.has_errors);
    let kinds: Vec<String> = match &found.superblock {
        _ if !words.filesystems.is_empty() => words.filesystems.clone(),
        Some(superblock) => vec![superblock.filesystem.to_owned()],
        None => {
            let found = format!("root={} is {}, which has no ext4, XFS or btrfs", words.root, found.node.display());
            return Err(failed(found, "name the filesystem: rootfstype="));
        }
    };
    fs::create_dir_all(place)?;
    let (mut flags, data) = options(&words.options);
    if !words.writable || has_errors {
        flags |= MountFlags::RDONLY;
    }
    let mut problems = Vec::new();
    for kind in &kinds {
        loader.load(&[kind]);
        match mounted(&found, place, kind, flags, &data) {
            Ok(()) if has_errors => {
                repair(&found.node, place)?;
                return if words.writable { remount_writable(&found, place, words) } else { Ok(()) };
            }
            Ok(()) => return Ok(()),
            Err(errno) => problems.push(format!("mounting {} as {kind}: {errno}", found.node.display())),
        }
    }
    Err(failed(format!("the root cannot be mounted: {}", problems.join("; ")), "check it from another system: fsck"))
}

/// Makes a root writable that was mounted read-only to be checked.
fn remount_writable(found: &Found, place: &str, words: &Words) -> Result<()> {
    let (flags, data) = options(&words.options);
    let data = CString::new(data).context("reading rootflags=")?;
    let remounted = mount_remount(place, flags, data.as_c_str());
    remounted.with_context(|| format!("making {} writable", found.node.display()))
}

fn mounted(found: &Found, place: &str, kind: &str, flags: MountFlags, data: &str) -> rustix::io::Result<()> {
    let data = CString::new(data).map_err(|_| Errno::INVAL)?;
    match mount(&found.node, place, kind, flags, data.as_c_str()) {
        // As the kernel does for its own root (init/do_mounts.c): a disk that cannot be written to is read.
        Err(Errno::ACCESS | Errno::ROFS) if !flags.contains(MountFlags::RDONLY) => {
            log(Level::Warning, &format!("{} is write-protected, and is mounted read-only", found.node.display()));
            mount(&found.node, place, kind, flags | MountFlags::RDONLY, data.as_c_str())
        }
        result => result,
    }
}

fn wait(wanted: &Wanted, words: &Words, events: &Events, loader: &mut Loader) -> Result<Found> {
    let begin = Instant::now();
    let mut next_word = LONG;
    loader.load_for(&devices::modaliases());
    loop {
        if let Some(found) = devices::find(wanted) {
            return Ok(found);
        }
        let waited = begin.elapsed();
        if words.patience.is_some_and(|patience| waited >= patience) {
            let found = format!("root={} did not come within {} s; {}", words.root, waited.as_secs(), what_is_there());
            return Err(failed(found, "see what the disk needs: flipslot check"));
        }
        if waited >= next_word {
            log(Level::Error, &format!("waiting for root={}; {}", words.root, what_is_there()));
            next_word = waited.saturating_mul(2);
        }
        let until = words.patience.unwrap_or(Duration::MAX).min(next_word).saturating_sub(waited);
        let news = events.wait(Some(until));
        if news.contains(&Event::Lost) {
            loader.load_for(&devices::modaliases());
        }
        let came = |event| if let Event::Device { modalias } = event { Some(modalias) } else { None };
        loader.load_for(&news.into_iter().filter_map(came).collect::<Vec<_>>());
    }
}

fn what_is_there() -> String {
    let names = devices::names();
    if names.is_empty() { "there is no disk".to_owned() } else { format!("there are: {}", names.join(" ")) }
}

/// Splits options of mount(8) into flags and what the filesystem itself reads.
fn options(text: &str) -> (MountFlags, String) {
    let (mut flags, mut data) = (MountFlags::empty(), Vec::new());
    for option in text.split(',').filter(|option| !option.is_empty()) {
        match option {
            "noatime" => flags |= MountFlags::NOATIME,
            "nodiratime" => flags |= MountFlags::NODIRATIME,
            "relatime" => flags |= MountFlags::RELATIME,
            "strictatime" => flags |= MountFlags::STRICTATIME,
            "lazytime" => flags |= MountFlags::LAZYTIME,
            "sync" => flags |= MountFlags::SYNCHRONOUS,
            "nosuid" => flags |= MountFlags::NOSUID,
            "nodev" => flags |= MountFlags::NODEV,
            "noexec" => flags |= MountFlags::NOEXEC,
            "ro" => flags |= MountFlags::RDONLY,
            "rw" | "defaults" | "auto" | "noauto" | "nofail" | "_netdev" | "exec" | "suid" | "dev" | "async" => {}
            own if own.starts_with("x-") => {} // for programs (mount(8))
            other => data.push(other),
        }
    }
    (flags, data.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_for_the_kernel_or_for_the_filesystem() {
        assert_eq!(
            options("noatime,subvol=@,x-systemd.growfs,ro"),
            (MountFlags::NOATIME | MountFlags::RDONLY, "subvol=@".to_owned())
        );
        assert_eq!(options(""), (MountFlags::empty(), String::new()));
        assert_eq!(options("defaults,data=journal,errors=panic").1, "data=journal,errors=panic");
    }
}
