//! The side that has the network: it starts the unpacking process and sends it the layers.

use crate::chamber::cgroup::Cgroups;
use crate::chamber::{NAMESPACES, Shape, sealed};
use crate::error::{Result, failed, refused};
use crate::layer::Budget;
use crate::tool::{Printed, Tool};
use crate::unpack::frames::Sender;
use crate::unpack::outcome::Outcome;
use crate::unpack::task::{At, LayerTask, Orders, Task};
use anyhow::Context;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use std::fs::File;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// First argument with which this program becomes the unpacking process.
pub const VERB: &str = "unpack-layers";

/// Time limit for an image. A network that is too slow is noticed long before, by the transfer of each blob.
const DEADLINE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Threads at one time, where this process may make a cgroup.
const THREADS: u32 = 32;
/// Chunks of a layer that were freed are kept for the next ones: the C library would give each back to the kernel, which
/// clears it again (glibc manual, "Memory Allocation Tunables").
const KEEP_MEMORY: &str = "glibc.malloc.mmap_threshold=16777216:glibc.malloc.trim_threshold=67108864";
/// Size of the pipe in bytes: the most that a process may ask for without privileges (pipe(7)).
const PIPE: usize = 1 << 20;

/// Refuses to begin where the unpacking process cannot put up its walls: an unshare(1) before util-linux 2.32, a
/// container with few rights. `hall` and `place` are empty directories.
pub fn refuse_unable(hall: PathBuf, place: PathBuf) -> Result<()> {
    let task = Task { hall, place, budget: Budget { bytes: 0, entries: 0 }, at: At::System };
    run(&task, &[], |_| Ok(())).map_err(|error| {
        let found = format!("layers are unpacked by a process of its own, which cannot be started here: {error:#}");
        refused(found, "run flipslot as root of this machine, with util-linux 2.32 or later")
    })
}

/// Runs the unpacking process. `feed` is called on a thread of its own, and sends each layer, in order, with an end after
/// it once the blob was verified.
pub fn run(task: &Task, layers: &[LayerTask], feed: impl FnOnce(&mut Sender<File>) -> Result<()> + Send) -> Result<()> {
    // Contents that are written count as memory: to limit that would slow down the writing.
    let cgroups = Cgroups::make(&Shape { memory: i64::MAX.unsigned_abs(), processes: THREADS, ..Shape::of_tools() });
    let orders = serde_json::to_string(&Orders { task: task.clone(), cgroups: cgroups.entrances() })?;
    let list = serde_json::to_vec(layers)?;
    let started = match task.at {
        // unshare(1) kills the process when this one ends, and with it the kernel kills its threads.
        At::System => Tool::new("unshare").args(NAMESPACES).arg(sealed()?),
        At::Initramfs => Tool::new("/proc/self/exe"),
    };
    let tool = started
        .arg(VERB)
        .arg(orders)
        .only_environment(&[("LC_ALL", "C"), ("GLIBC_TUNABLES", KEEP_MEMORY)])
        .deadline(DEADLINE)
        .keeping(1 << 16);
    exchange(&tool, list, feed)
}

/// Sends the list and what `feed` sends to a process, and returns how both sides ended.
fn exchange(tool: &Tool, list: Vec<u8>, feed: impl FnOnce(&mut Sender<File>) -> Result<()> + Send) -> Result<()> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).context("making a pipe")?;
    let _ = fcntl_setpipe_size(&write, PIPE); // a smaller one is slower, and no more than that
    let ((fed, closed), printed) = thread::scope(|scope| {
        let feeder = scope.spawn(move || {
            let mut sender = Sender::to(File::from(write));
            let listed = sender.bytes(&list).and_then(|()| sender.end()).map_err(Into::into);
            (listed.and_then(|()| feed(&mut sender)), sender.is_closed())
        });
        let printed = tool.run_with_input(read);
        let stopped = |_| (Err(failed("sending the layers stopped early", "run the command again")), false);
        (feeder.join().unwrap_or_else(stopped), printed)
    });
    // What went wrong first is on this side, unless the other one has closed the pipe.
    if !closed {
        fed?;
        return outcome(&printed?).into_result();
    }
    outcome(&printed?).into_result()?;
    // A process that is content before it has seen all layers has not verified them.
    Err(failed("the process that unpacks stopped reading before all layers were sent", "run the command again"))
}

fn outcome(printed: &Printed) -> Outcome {
    printed.stderr.lines().for_each(|warning| crate::stderr!("{warning}"));
    serde_json::from_str(&printed.stdout).unwrap_or_else(|error| Outcome::Failed {
        found: format!("the process that unpacks reports nothing that can be read: {error}"),
        next: "run the command again".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::digest::Digest;
    use std::os::unix::fs::PermissionsExt;

    /// Runs a process that says what `script` does, in place of the real one.
    fn with_process(script: &str, feed: impl FnOnce(&mut Sender<File>) -> Result<()> + Send) -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("process");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        exchange(&Tool::new(&program), b"[]".to_vec(), feed)
    }

    fn layer(sender: &mut Sender<File>) -> Result<()> {
        Ok(sender.bytes(&vec![0; 4 << 20]).and_then(|()| sender.end())?)
    }

    #[test]
    fn a_process_that_is_content_without_reading_everything_is_not_believed() {
        let error = with_process("echo '\"unpacked\"'", layer).unwrap_err();
        assert!(format!("{error:#}").contains("stopped reading"), "{error:#}");
        with_process("cat >/dev/null; echo '\"unpacked\"'", layer).unwrap();
        let error = with_process("cat >/dev/null; echo nonsense", layer).unwrap_err();
        assert!(format!("{error:#}").contains("reports nothing that can be read"), "{error:#}");
    }

    #[test]
    fn the_side_that_failed_first_is_the_one_that_is_told() {
        let refusal = "echo '{\"failed\":{\"found\":\"a bad entry\",\"next\":\"\"}}'";
        let error = with_process(refusal, layer).unwrap_err();
        assert_eq!(format!("{error:#}"), "a bad entry");
        let of_blob = || failed(format!("{} is another blob", Digest::of(b"")), "");
        let error = with_process(&format!("cat >/dev/null; {refusal}"), |_| Err(of_blob())).unwrap_err();
        assert!(format!("{error:#}").contains("is another blob"), "{error:#}");
    }
}
