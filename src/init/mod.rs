//! The first process of an initramfs of flipslot's own: loads drivers, mounts the root, and becomes the root's init.
//!
//! Runs as PID 1, with no shell, no udev and no other program. Its [`plan`] holds what was known when the initramfs was
//! made; the kernel's command line adds the rest.

#[cfg(feature = "net")]
pub mod chain;
pub mod check;
#[cfg(feature = "net")]
pub mod coming;
pub mod console;
#[cfg(feature = "net")]
pub mod copy_layer;
pub mod devices;
pub mod early;
pub mod hand_over;
pub mod host_layer;
pub mod identity;
pub mod image_file;
pub mod keeper;
pub mod kernel_log;
pub mod live;
pub mod live_facts;
pub mod load;
#[cfg(feature = "net")]
pub mod memory;
#[cfg(not(feature = "net"))]
pub mod no_network;
#[cfg(feature = "net")]
pub mod online;
pub mod overlay;
pub mod plan;
#[cfg(feature = "net")]
pub mod pull;
#[cfg(feature = "net")]
pub mod remote;
pub mod root;
pub mod second_stage;
#[cfg(feature = "net")]
pub mod signed;
pub mod source;
pub mod superblock;
#[cfg(feature = "net")]
pub mod unpacked;
pub mod verity;
pub mod words;
#[cfg(feature = "net")]
pub mod write_own;
pub mod zram;

use crate::error::{Result, failed, hint};
use crate::init::devices::Events;
use crate::init::hand_over::{Handed, USUAL, hand_over};
use crate::init::kernel_log::{Level, log};
use crate::init::load::Loader;
use crate::init::plan::{Plan, Step};
use crate::init::root::{PLACE, mount_root};
use crate::init::words::{Stop, Words};
#[cfg(feature = "net")]
use crate::network::child;
#[cfg(feature = "net")]
use crate::unpack;
use anyhow::Context;
use rustix::system::uname;
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use std::fs;
use std::path::Path;

/// Runs the init, and ends only if it fails, with a sentence for the kernel's log: on a trial it resets the machine,
/// else the kernel panics, which does what `panic=` says.
pub fn run() -> Result<()> {
    if std::process::id() != 1 {
        return run_helper();
    }
    early::mount_all()?;
    keeper::prepare();
    let words = Words::read(&fs::read_to_string("/proc/cmdline").context("reading the command line")?);
    if let Some(deadline) = words.deadline
        && let Err(error) = keeper::start(deadline)
    {
        keeper::reset(&format!("the deadline of the trial cannot be kept: {error}"));
    }
    loop {
        let Err(error) = boot(&words) else { return Ok(()) };
        let why = hint(&error).map_or_else(|| format!("{error:#}"), |next| format!("{error:#}; {next}"));
        match words.deadline {
            // Once the root was entered, there is nothing to try again.
            _ if words.asks && Path::new(plan::PATH).exists() && console::ask(&why) => {}
            Some(_) => keeper::reset(&why),
            None => return Err(error),
        }
        hand_over::give_back();
    }
}

/// Becomes what the first process has started this program for. Words of the kernel's command line never lead here.
fn run_helper() -> Result<()> {
    let arguments: Vec<_> =
        std::env::args_os().skip(1).take(3).map(|word| word.to_string_lossy().into_owned()).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [keeper::VERB, deadline] => keeper::keep(deadline.parse().context("reading the deadline")?),
        [check::VERB, root, node] => {
            log(Level::Error, &format!("e2fsck: {}", check::become_checker(root, node)));
            std::process::exit(check::NOT_STARTED)
        }
        #[cfg(feature = "net")]
        [child::VERB, order, hall] => child::run(order, hall).map_err(|error| {
            eprintln!("{error:#}");
            error
        }),
        #[cfg(feature = "net")]
        [unpack::VERB, orders] => unpack::run_child(orders),
        [console::SHELL] => Err(console::become_shell().into()),
        _ => Err(failed("flipslot-init is the first process of an initramfs, not a command", "run flipslot")),
    }
}

/// Sets a clock that is before `earliest`, as that of a machine without a battery is: every certificate would seem to be
/// of the future.
fn set_clock(earliest: u64) {
    let now = clock_gettime(ClockId::Realtime).tv_sec;
    match i64::try_from(earliest) {
        Ok(earliest) if now < earliest => {
            let set = clock_settime(ClockId::Realtime, Timespec { tv_sec: earliest, tv_nsec: 0 });
            let how = set.map_or_else(|errno| format!("cannot be set: {errno}"), |()| "is set to that".to_owned());
            log(Level::Warning, &format!("the clock is before the time at which this initramfs was made, and {how}"));
        }
        _ => {}
    }
}

/// Does what the plan says; returns only if that fails.
fn boot(words: &Words) -> Result<()> {
    words.objections.iter().for_each(|sentence| log(Level::Warning, sentence));
    let plan = fs::read(plan::PATH).with_context(|| format!("reading {}", plan::PATH))?;
    let plan: Plan = serde_json::from_slice(&plan).with_context(|| format!("reading {}", plan::PATH))?;
    if plan.version != plan::VERSION {
        let found = format!("{} has version {}, and this init reads {}", plan::PATH, plan.version, plan::VERSION);
        return Err(failed(found, "write the slot again: flipslot flash"));
    }
    let running = uname();
    let running = running.release().to_string_lossy();
    // A kernel with everything built in may have any name.
    if plan.kernel != running && !plan.modules.is_empty() {
        let found = format!("this initramfs is for kernel {}, and {running} runs", plan.kernel);
        return Err(failed(found, "load the initramfs of the kernel"));
    }
    set_clock(plan.made);
    let events = Events::listen().context("listening to the kernel's events")?;
    let mut loader = Loader::new(&plan, words);
    loader.load(&words.first.iter().map(String::as_str).collect::<Vec<_>>());
    loader.load(&plan.always.iter().map(String::as_str).collect::<Vec<_>>());
    for step in &plan.steps {
        match step {
            Step::MountRoot => {
                if words.stop == Some(Stop::BeforeMount) {
                    console::ask("rd.break: the root is not mounted yet");
                }
                if words.root.starts_with(source::SCHEME) {
                    live::leave_layer_of_another(words, plan.layer_of.as_deref())?;
                    live::mount_live(words, &events, &mut loader)?;
                } else {
                    mount_root(words, &events, &mut loader)?;
                }
            }
            Step::Start | Step::StartSecondStage { .. } => {
                if words.stop == Some(Stop::BeforeStart) {
                    console::ask("rd.break: the root is mounted at /sysroot, and nothing of it was started");
                }
                match step {
                    Step::StartSecondStage { image, filesystem } => {
                        second_stage::start(image, filesystem, &mut loader, words)?;
                    }
                    _ => {
                        let chosen = words.init.as_deref().map(|init| [init]);
                        let inits = chosen.as_ref().map_or(&USUAL[..], |init| &init[..]);
                        hand_over(&Handed { place: PLACE, inits }, words)?;
                    }
                }
            }
        }
    }
    Err(failed("the plan ends without a system to start", "write the slot again: flipslot flash"))
}
