//! Stage 3: a root with an initramfs and a boot entry.

use crate::boot::entry::Entry;
use crate::boot::initramfs_source::MadeBy;
use crate::boot::record::Fixed;
use crate::build::inspected::Inspected;
use crate::build::session::Session;
use crate::check::initramfs_choice::{Chosen, choose};
use crate::check::report::{Ask, Report};
use crate::check::subject::Initramfs;
use crate::error::Result;
use crate::initramfs::dracut::{Microcode, Recipe};
use crate::initramfs::own_init::Own;
use crate::initramfs::{make, two_stage};
use crate::kernel::drivers;
use crate::kernel::modules::Modules;
use crate::request::slot::SlotRequest;
use crate::root::carry_over::Which;
use crate::root::edit::Edit;
use crate::root::runnable::Runnable;
use crate::root::tree::Tree;
use crate::words::digest::Digest;
use anyhow::Context;

/// A root that boots.
pub struct Bootable<R> {
    /// The root.
    pub root: R,
    /// Decisions and findings of its build.
    pub built: Built,
}

/// Entry of a bootable root, and how it came about.
#[derive(Debug)]
pub struct Built {
    /// Kernel, initramfs and command line.
    pub entry: Entry,
    /// Modules in the initramfs that the hardware and the root filesystem need.
    pub drivers: Vec<String>,
    /// Origin of the initramfs.
    pub initramfs_by: MadeBy,
    /// Reason for that origin, for people.
    pub initramfs_why: String,
    /// Paths of the agent's files; empty if there is none.
    pub agent: Vec<String>,
    /// Patterns of the files that are carried over from slot to slot; `None` if none were considered.
    pub keep: Option<Vec<String>>,
    /// Files that were carried over from the running slot.
    pub carried: Vec<String>,
    /// Fixes that were made.
    pub fixed: Vec<Fixed>,
    /// Findings of the rules.
    pub report: Report,
}

impl<R: Edit + Runnable> Inspected<R> {
    /// Takes the image's own initramfs or makes one, and makes the entry. Refuses an initramfs with errors.
    pub fn make_bootable(mut self, request: &SlotRequest, session: Session) -> Result<Bootable<R>> {
        let subject = self.subject(request)?;
        let modules = subject.on.modules();
        let of = |known: &Modules| {
            let mut drivers = known.with_needs(modules.iter().map(ToString::to_string));
            if subject.on.needs_disk() {
                drivers.extend(drivers::of_initramfs(&request.inventory, known, &modules));
            }
            if subject.on.needs_network() {
                drivers.extend(drivers::of_network(&request.inventory, known, &modules));
            }
            drivers
        };
        let drivers = subject.modules.as_ref().map(of).unwrap_or_default();
        let named = subject.modules.as_ref().map(|known| drivers::named(&request.inventory, known)).unwrap_or_default();
        let Chosen { by, why, fixed } = choose(&subject, request.initramfs, &request.policy)?;
        drop(subject);
        self.fixed.extend(fixed);
        let microcode = if request.inventory.guest { Microcode::Without } else { Microcode::Early };
        let recipe = Recipe { on: self.site.on.clone(), microcode, drivers, named };
        let path = match by {
            MadeBy::Image => self.take_own(session)?,
            MadeBy::Dracut => {
                let _step = session.progress.step(self.site.slot, "making the initramfs", None);
                make::make(session.scratch, &mut self.root, &self.kernel, &recipe)?
            }
            MadeBy::Flipslot | MadeBy::TwoStage => {
                let _step = session.progress.step(self.site.slot, "making the initramfs", None);
                // A kernel without a list of modules has all of them built in.
                let none = Modules::default();
                let modules = self.facts.modules.as_ref().unwrap_or(&none);
                let (scratch, root, kernel) = (session.scratch, &mut self.root, &self.kernel);
                if by == MadeBy::Flipslot {
                    make::with_own_init(scratch, root, kernel, &Own::plain(modules, &recipe.on), &recipe)?
                } else {
                    let made = two_stage::make(scratch, root, kernel, modules, &recipe)?;
                    if made.filesystem != "erofs" {
                        let version = &self.kernel.version;
                        let why = format!("kernel {version} reads no EROFS: the second stage is a {}", made.filesystem);
                        session.progress.warn(self.site.slot, &why);
                    }
                    made.first
                }
            }
        };
        self.carry(Which::Secret, request, session)?;
        let boots = Initramfs::read(&self.root, path.clone(), by)?;
        self.ask(&boots, Ask::Initramfs, request, session)?;
        let entry = self.entry(&boots, path, request)?;
        let Inspected { root, agent, keep, carried, fixed, report, .. } = self;
        let keep = keep.map(|keep| keep.patterns().to_vec());
        let drivers = recipe.drivers.into_iter().collect();
        let built = Built { entry, drivers, initramfs_by: by, initramfs_why: why, agent, keep, carried, fixed, report };
        Ok(Bootable { root, built })
    }

    /// Takes the image's own initramfs; returns the path of the one that boots.
    fn take_own(&mut self, session: Session) -> Result<String> {
        let _step = session.progress.step(self.site.slot, "taking the image's initramfs", None);
        let (path, contents) = match &self.own {
            Initramfs::There { path, contents: Ok(contents), .. } => (path, contents),
            // The rules report an initramfs that cannot be read, or that is missing.
            Initramfs::There { path, .. } => return Ok(path.clone()),
            Initramfs::ToBeMade => return Ok(String::new()),
        };
        let taken = make::take(session.scratch, &mut self.root, &self.kernel, make::Own { path, contents })?;
        if taken == *path {
            let lost =
                "the image's own initramfs has no systemd: only a hardware watchdog ends a trial that hangs in it";
            session.progress.warn(self.site.slot, lost);
        }
        Ok(taken)
    }

    fn entry(&self, boots: &Initramfs, initramfs: String, request: &SlotRequest) -> Result<Entry> {
        let subject = self.subject_with(boots, request)?;
        Ok(Entry {
            title: subject.release.title().to_owned(),
            kernel_digest: digest_of(&self.root, &self.kernel.path)?,
            initramfs_digest: digest_of(&self.root, &initramfs)?,
            kernel: self.kernel.clone(),
            initramfs,
            cmdline: subject.cmdline.clone(),
        })
    }
}

fn digest_of(root: &dyn Tree, path: &str) -> Result<Digest> {
    let reading = || format!("reading {path} of the slot");
    let file = root.open(path).with_context(reading)?.with_context(|| format!("/{path} is missing"))?;
    Digest::of_stream(file).with_context(reading)
}
