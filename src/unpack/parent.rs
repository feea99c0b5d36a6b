//! The side that has the network: it starts the unpacking process and sends it the layers.

use crate::chamber::sealed;
use crate::error::{Result, failed};
use crate::tool::Tool;
use crate::unpack::frames::Sender;
use crate::unpack::outcome::Outcome;
use crate::unpack::task::{LayerTask, Task};
use anyhow::Context;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use std::fs::File;
use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

/// Time limit for an image. A network that is too slow is noticed long before, by the transfer of each blob.
const DEADLINE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Size of the pipe in bytes: the most that a process may ask for without privileges (pipe(7)).
const PIPE: usize = 1 << 20;

/// Runs the unpacking process. `feed` is called on a thread of its own, and sends each layer, in order, with an end after
/// it once the blob was verified.
pub fn run(task: &Task, layers: &[LayerTask], feed: impl FnOnce(&mut Sender<File>) -> Result<()> + Send) -> Result<()> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).context("making a pipe")?;
    let _ = fcntl_setpipe_size(&write, PIPE); // a smaller one is slower, and no more than that
    let task = serde_json::to_string(task)?;
    let list = serde_json::to_vec(layers)?;
    // unshare(1) kills the process when this one ends, and with it the kernel kills its threads.
    let tool = Tool::new("unshare")
        .args(["--mount", "--pid", "--ipc", "--uts", "--net", "--fork", "--kill-child=KILL", "--"])
        .arg(sealed()?)
        .arg("unpack-layers")
        .arg(task)
        .only_environment(&[("LC_ALL", "C")])
        .deadline(DEADLINE)
        .keeping(1 << 16);
    let (fed, printed) = thread::scope(|scope| {
        let feeder = scope.spawn(move || {
            let mut sender = Sender(File::from(write));
            sender.bytes(&list).and_then(|()| sender.end()).map_err(Into::into).and_then(|()| feed(&mut sender))
        });
        let printed = tool.run_with_input(read);
        let fed =
            feeder.join().unwrap_or_else(|_| Err(failed("sending the layers stopped early", "run the command again")));
        (fed, printed)
    });
    // What went wrong first is on this side, unless the other one has closed the pipe.
    if let Err(error) = fed
        && error.downcast_ref::<std::io::Error>().is_none_or(|error| error.kind() != ErrorKind::BrokenPipe)
    {
        return Err(error);
    }
    let printed = printed?;
    printed.stderr.lines().for_each(|warning| crate::stderr!("{warning}"));
    let outcome: Outcome =
        serde_json::from_str(&printed.stdout).context("reading the report of the process that unpacks")?;
    outcome.into_result()
}
