//! The unpacking process: this program, started again in new namespaces. It puts up its walls, and then reads.

use crate::error::Result;
use crate::layer::stream::{Expected, fetch};
use crate::layer::{Budget, RootSink, apply};
use crate::root::mounted::directory::Root;
use crate::root::mounted::sink::MountedRoot;
use crate::unpack::frames::Receiver;
use crate::unpack::outcome::Outcome;
use crate::unpack::task::{LayerTask, Orders, Task};
use crate::unpack::walls::{self, SLOT};
use anyhow::Context;
use std::io::{Read, Stdin, Write, stdin, stdout};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Puts up the walls, unpacks the layers of standard input into the slot, and prints the report.
pub fn run(orders: &str) -> Result<()> {
    let orders: Orders = serde_json::from_str(orders).context("reading the orders")?;
    walls::put_up(&orders).context("putting up the walls of the process that unpacks")?;
    let outcome = Outcome::of(unpack(&orders.task));
    serde_json::to_writer(stdout(), &outcome).context("reporting")?;
    stdout().flush().context("reporting")
}

fn unpack(task: &Task) -> Result<()> {
    let input = Arc::new(Mutex::new(stdin()));
    let mut list = Vec::new();
    Receiver::of(&input).read_to_end(&mut list).context("reading the list of layers")?;
    let layers: Vec<LayerTask> = serde_json::from_slice(&list).context("reading the list of layers")?;
    let mut sink = MountedRoot::new(Root::open(Path::new(SLOT))?)?;
    let mut budget = task.budget;
    for (index, layer) in layers.iter().enumerate() {
        unpack_layer(layer, &input, &mut sink, &mut budget)
            .with_context(|| format!("layer {} of {} ({})", index + 1, layers.len(), layer.name))?;
    }
    sink.finish()
}

fn unpack_layer(
    layer: &LayerTask,
    input: &Arc<Mutex<Stdin>>,
    sink: &mut MountedRoot,
    budget: &mut Budget,
) -> Result<()> {
    // The other side verifies the blob.
    let expected = Expected { blob: None, diff_id: layer.diff_id.clone(), compression: layer.compression };
    let frames = Receiver::of(input);
    let fetching = fetch(expected, move || Ok(Box::new(frames)), |_| {});
    let longest = budget.stream_max();
    apply(fetching.decompress(longest), sink, budget)
}
