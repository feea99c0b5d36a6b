//! A cgroup around the processes of a chamber: bounds their memory and their number, and ends them together.

use crate::chamber::shape::Shape;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Mount point of cgroups with systemd, OpenRC and container runtimes.
const CGROUPS: &str = "/sys/fs/cgroup";
/// Start of the name of a chamber's cgroup; the rest is the ID of the flipslot process that made it.
const NAME: &str = "flipslot-chamber-";
/// Controllers of a chamber's cgroup.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];
/// Attempts at removing a cgroup, 10 ms apart: the kernel takes a moment to bury killed processes.
const ATTEMPTS: u32 = 100;

/// The cgroups of one chamber: one for both controllers (v2), or one for each (v1). Removed on drop, with the
/// processes in them.
#[derive(Debug)]
pub struct Cgroups(Vec<PathBuf>);

impl Cgroups {
    /// Makes them with the limits of `shape`. Where this process may make none, as in a container that sees its
    /// cgroup read-only, there are none, and the other limits of the chamber hold alone.
    pub fn make(shape: &Shape) -> Cgroups {
        let memory = shape.memory.to_string();
        let processes = shape.processes.to_string();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut made = Cgroups(Vec::new());
        if let Some(parent) = unified(&own) {
            // memory.swap.max is missing without swap accounting, cgroup.kill before Linux 5.14.
            let files =
                [("memory.max", &memory), ("pids.max", &processes), ("memory.swap.max", &"0".to_owned())].map(limit);
            made.add(&parent, &files, 2);
        } else {
            let files =
                [[("memory.limit_in_bytes", &memory)], [("pids.max", &processes)]].map(|files| files.map(limit));
            for (controller, files) in CONTROLLERS.iter().zip(files) {
                if let Some(parent) = hierarchy(&own, controller) {
                    made.add(&parent, &files, 1);
                }
            }
        }
        made
    }

    /// The files to which a process writes "0" to join.
    pub fn entrances(&self) -> Vec<PathBuf> {
        self.0.iter().map(|folder| folder.join("cgroup.procs")).collect()
    }

    /// Kills everything in them, where the kernel can do that at once (cgroup v2 since Linux 5.14).
    pub fn kill(&self) {
        for folder in &self.0 {
            let _ = fs::write(folder.join("cgroup.kill"), "1");
        }
    }

    /// Makes one below `parent`; gives it up if one of the first `needed` files cannot be written.
    fn add(&mut self, parent: &Path, files: &[(&str, String)], needed: usize) {
        remove_abandoned(parent);
        let folder = parent.join(format!("{NAME}{}", std::process::id()));
        if fs::create_dir(&folder).is_err() && !folder.is_dir() {
            return;
        }
        let written = files.iter().map(|(file, value)| fs::write(folder.join(file), value));
        if written.take(needed).all(|written| written.is_ok()) {
            let _ = files.iter().skip(needed).try_for_each(|(file, value)| fs::write(folder.join(file), value));
            self.0.push(folder);
        } else {
            let _ = fs::remove_dir(&folder);
        }
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        self.kill();
        for folder in &self.0 {
            for _ in 0..ATTEMPTS {
                match fs::remove_dir(folder) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        thread::sleep(Duration::from_millis(10));
                    }
                    _ => break,
                }
            }
        }
    }
}

fn limit<'f>((file, value): (&'f str, &String)) -> (&'f str, String) {
    (file, value.clone())
}

/// Returns the nearest cgroup (v2) around this process whose children have both controllers.
fn unified(own: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let has_both = |folder: &&Path| {
        let enabled = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
        CONTROLLERS.iter().all(|controller| enabled.split_whitespace().any(|word| word == *controller))
    };
    Path::new(CGROUPS)
        .join(path)
        .ancestors()
        .take_while(|folder| folder.starts_with(CGROUPS))
        .find(has_both)
        .map(Path::to_owned)
}

/// Returns this process's cgroup in the hierarchy of a controller (v1).
fn hierarchy(own: &str, controller: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        fields.next()?.split(',').any(|name| name == controller).then_some(fields.next()?)
    })?;
    let mounted = Path::new(CGROUPS).join(controller);
    // In a container, what is mounted may be this process's cgroup alone.
    [mounted.join(path.trim_start_matches('/')), mounted]
        .into_iter()
        .find(|folder| folder.join("cgroup.procs").exists())
}

/// Removes cgroups that a killed run left: they have no process any more.
fn remove_abandoned(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(maker) = name.to_str().and_then(|name| name.strip_prefix(NAME)) else { continue };
        if !Path::new("/proc").join(maker).exists() {
            let _ = fs::remove_dir(entry.path());
        }
    }
}
