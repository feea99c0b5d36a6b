//! `flipslot switch --ram`: fetches an image into memory, and jumps into it, on trial.

use crate::boot::cmdline::by_kexec;
use crate::boot::root_on::LiveFormat;
use crate::build::session::Session;
use crate::cli::{FetchArgs, ImageArgs, RamArgs, SwitchArgs, WriteArgs};
use crate::disk::installed::boot_partition::Access;
use crate::disk::installed::state_home::StateHome;
use crate::error::{Result, refused, usage};
use crate::forms::netboot::delivery::Delivery;
use crate::forms::netboot::{self, NetbootJob, Written};
use crate::initramfs::compress::Effort;
use crate::jump::arrival::CONFIRMED;
use crate::jump::ram::IntoRam;
use crate::jump::route::Way;
use crate::jump::watchdog::Heir;
use crate::jump::{kexec, leftovers};
use crate::mount::lock::{Patience, lock};
use crate::mount::scratch::Scratch;
use crate::mount::workplace::Workplace;
use crate::oci;
use crate::output::document::Format;
use crate::output::preview::Preview;
use crate::output::print::{print, say_line};
use crate::progress::Progress;
use crate::publish::described::{INITRD, KERNEL};
use crate::request::config::Config;
use crate::request::slot::{SlotFlags, SlotRequest};
use crate::words::host_name::is_host_name;
use crate::words::kernel_line::{self, HOST_KEY};
use crate::words::origin::Origin;
use crate::words::units::in_words;
use anyhow::Context;
use rustix::system::uname;
use std::fs::{self, File};
use std::path::Path;

/// Hint for a machine that cannot jump.
const BY_FIRMWARE: &str =
    "on a disk with slots: flipslot flash REF --slot SLOT, then flipslot switch --slot SLOT --by firmware";
/// File that only one run has locked.
const LOCK: &str = "/run/flipslot.ram";

/// Fetches the image and jumps into it. Until the last effect, which is the jump, the machine runs as before. No slot is
/// changed: a reset boots what it did before.
pub fn run(reference: &str, deadline: u64, args: &SwitchArgs) -> Result<()> {
    if args.by == Way::Firmware {
        return Err(usage("RAM does not survive a restart through the firmware", "omit --by firmware"));
    }
    let home = StateHome::find(None, Access::of(args.plan.dry_run))?;
    refuse_on_trial(&home)?;
    kexec::refuse_if_disabled().map_err(|why| refused(why.to_string(), BY_FIRMWARE))?;
    oci::trust::bundle_if_none()?;
    // A disk with slots is locked already; a system without one has this.
    let only = File::create(LOCK).with_context(|| format!("making {LOCK}"))?;
    lock(&only, Path::new(LOCK), Patience::Refuse)?;
    let request = request(&args.memory, &args.allow)?;
    let progress = Progress::new(args.memory.progress);
    let scratch = Scratch::enter()?;
    let session = Session { scratch: &scratch, progress: &progress };
    let reference = oci::registries::Conf::find()?.reference(reference)?;
    let step = progress.step(None, "looking up the image", None);
    let image = oci::resolve(&reference, &request.platform, &request.access)?;
    drop(step);
    let back = format!("unless it is confirmed within {}, the machine is reset", in_words(deadline));
    if args.plan.dry_run {
        let would = format!("would jump from this system into {reference} ({}) in RAM, by kexec; {back}", image.digest);
        return print(&Preview::without_disk("switch", vec![would]), Format::of(args.plan.json));
    }
    if let StateHome::Disk(disk) = &home {
        leftovers::remove(disk)?;
    }
    let (place, delivery) = (Workplace::make()?, delivery(&args.memory)?);
    let made = Origin::of_environment(&[])?.now();
    let job = NetbootJob {
        image: &image,
        request: &request,
        delivery: &delivery,
        made,
        address: None,
        effort: Effort::Little,
    };
    let Written { described, modules, has_agent } = netboot::write(&job, place.path(), session)?;
    let has = |driver: &str| modules.as_ref().is_some_and(|modules| modules.place(driver).is_some());
    let jump = IntoRam {
        kernel: opened(place.path(), KERNEL)?,
        initramfs: opened(place.path(), INITRD)?,
        cmdline: cmdline(&described.cmdline, &by_kexec(deadline, args.confirm)),
        heir: Heir::of(has_agent, has),
        deadline,
    };
    let into = format!("{} (kernel {}) in RAM", described.os, described.kernel);
    jump.go(|| crate::stderr!("flipslot: jumping into {into}; {back}"))?;
    say_line("services stop now, then the image starts by kexec")
}

/// Refuses to leave a system that is itself on trial: what it was to prove would be lost.
fn refuse_on_trial(home: &StateHome) -> Result<()> {
    if home.trial()?.is_some() && !Path::new(CONFIRMED).exists() {
        return Err(refused(
            "this system is itself on trial, and not confirmed yet",
            "confirm it first: flipslot confirm",
        ));
    }
    Ok(())
}

fn opened(folder: &Path, name: &str) -> Result<File> {
    let path = folder.join(name);
    File::open(&path).with_context(|| format!("opening {}", path.display()))
}

/// Returns the request for an image that boots from its initramfs.
fn request(args: &RamArgs, allow: &[String]) -> Result<SlotRequest> {
    let fetch = FetchArgs {
        plain_http: args.plain_http.clone(),
        registry_ca: args.registry_ca.clone(),
        authfile: args.authfile.clone(),
        verify_key: args.verify_key.clone(),
        ..FetchArgs::default()
    };
    let image = ImageArgs {
        console: if args.console.is_empty() { consoles()? } else { args.console.clone() },
        kargs: args.kargs.clone(),
        kernel: args.kernel.iter().cloned().collect(),
        fix: args.fix.clone(),
        allow: allow.to_vec(),
        fetch,
        ..ImageArgs::default()
    };
    let flags = SlotFlags { image: &image, write: &WriteArgs::default() };
    SlotRequest::of(flags, &Config::of(&image)?, None, None)?.for_netboot()
}

/// Returns the consoles of this system.
fn consoles() -> Result<Vec<String>> {
    let line = fs::read_to_string("/proc/cmdline").context("reading the command line of this kernel")?;
    let words = kernel_line::words(&line);
    Ok(words.iter().filter_map(|word| word.strip_prefix("console=")).map(str::to_owned).collect())
}

/// Chooses the filesystem of the image.
fn delivery(args: &RamArgs) -> Result<Delivery> {
    use crate::root::packed::Format as Packed;
    let of = |format| Delivery::of(format, &[]);
    match args.format {
        Some(Packed::Squashfs) => of(LiveFormat::Squashfs),
        Some(Packed::Erofs) => of(LiveFormat::Erofs),
        // flipslot itself writes this one.
        None => of(LiveFormat::Squashfs).or_else(|_| of(LiveFormat::Erofs)),
    }
}

/// Returns the words of the image's kernel: a trial, with this machine's name.
fn cmdline(of_image: &str, trial: &str) -> String {
    let name = uname().nodename().to_string_lossy().into_owned();
    let host = if is_host_name(&name) { format!(" {HOST_KEY}{name}") } else { String::new() };
    format!("{of_image}{host} {trial}")
}
