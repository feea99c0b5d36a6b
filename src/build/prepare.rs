//! Makes a filled slot bootable: runs the rules, applies fixes, refuses the remaining errors; then adds an
//! initramfs and an entry.

use crate::boot::cmdline::Cmdline;
use crate::boot::entry::Entry;
use crate::build::fill::Filled;
use crate::check::fix as mend;
use crate::check::initramfs_choice::{Chosen, choose};
use crate::check::report::{Ask, Outcome, Report};
use crate::check::subject::{Initramfs, Insight, Subject};
use crate::error::{Kind, Result};
use crate::initramfs::dracut::{Microcode, Recipe};
use crate::initramfs::make as initramfs;
use crate::initramfs::source::MadeBy;
use crate::kernel::drivers;
use crate::kernel::find::Kernel;
use crate::layer::LayerPath;
use crate::mount::scratch::Scratch;
use crate::oci::Image;
use crate::progress::Progress;
use crate::request::slot::SlotWish;
use crate::words::digest::Digest;
use anyhow::Context;

/// Kind of error and hint for an image that would not come up, where no rule has a better hint.
const NEXT: (Kind, &str) = (Kind::Failed, "fix the image");

/// The maker of a slot's initramfs, with the reason for the choice.
#[derive(Debug, Clone)]
pub struct Start {
    /// Maker of the initramfs.
    pub by: MadeBy,
    /// Reason for the choice, for people.
    pub why: String,
    /// Modules in the initramfs that the hardware and the root filesystem need.
    pub drivers: Vec<String>,
}

impl Filled {
    /// Runs the rules on the files that the image brought. Fixes what is to be fixed, and refuses the errors
    /// that are left.
    pub fn inspect(self, scratch: &Scratch, image: &Image, wanted: &SlotWish, progress: &Progress) -> Result<Filled> {
        let mut filled = self;
        let slot = Some(filled.site.place.slot);
        let step = progress.step(slot, "asking the rules", None);
        filled.look(wanted)?;
        let first = Report::of(&filled.subject(wanted)?, Ask::Fresh, &wanted.policy)?;
        let by_format = mend::by_format(&first, "the filesystem was made again, without new features");
        drop(step);
        let older = filled.older_kernel(wanted);
        older.iter().for_each(|why| progress.warn(slot, why));
        if !by_format.is_empty() || older.is_some() {
            filled = filled.format_again(scratch, progress)?.fill(image, progress)?;
            filled.look(wanted)?;
            filled.mended = by_format;
        }
        let by_words = mend::by_words(&first, &filled.subject(wanted)?);
        filled.mended.extend(by_words);
        let second = filled.mend_files(Ask::Fresh, wanted)?;
        let subject = filled.subject(wanted)?;
        let left = Report::of(&subject, Ask::Fresh, &wanted.policy.after_mending())?;
        left.refuse_errors("the image", NEXT)?;
        left.warnings(&filled.report).for_each(|warning| progress.warn(slot, &warning));
        let mut report = second.after(first);
        report.findings.retain(|found| found.outcome == Outcome::Mended);
        report.join(left);
        drop(subject);
        filled.report = report;
        Ok(filled)
    }

    /// Returns the reason to make the filesystem again, if flipslot itself chose features that the image's
    /// kernel does not know: that kernel is known only once the image is written.
    fn older_kernel(&self, wanted: &SlotWish) -> Option<String> {
        let version = self.kernel_version()?;
        let unknown = self.made.features.too_new_for_kernel(version);
        let is_ours = wanted.mkfs_options.is_empty() && !unknown.is_empty();
        is_ours.then(|| {
            format!("the filesystem is made again, without what kernel {version} does not know: {}", unknown.join(", "))
        })
    }

    /// Returns the version of the image's kernel, once that was read.
    pub(super) fn kernel_version(&self) -> Option<&str> {
        Some(&self.insight.as_ref()?.kernel.as_ref()?.version)
    }

    /// Fixes files, as far as that is requested; returns what was found before.
    fn mend_files(&mut self, ask: Ask, wanted: &SlotWish) -> Result<Report> {
        let report = Report::of(&self.subject(wanted)?, ask, &wanted.policy)?;
        let mended = mend::by_files(&report, &self.subject(wanted)?, &self.root)?;
        self.mended.extend(mended);
        Ok(report)
    }

    /// Returns the slot as the rules see it.
    fn subject<'s>(&'s self, wanted: &'s SlotWish) -> Result<Subject<'s>> {
        let slot = self.site.place.slot;
        let words: Vec<String> = self.mended.iter().flat_map(|mended| mended.words.iter().cloned()).collect();
        let cmdline =
            Cmdline::new(slot, (self.site.place.partuuid, self.made.filesystem), &wanted.consoles, &wanted.kargs)?;
        let mut subject = Subject::new(&self.root, self.insight()?, &wanted.inventory, cmdline.with(&words));
        subject.filesystem = self.made.filesystem;
        subject.features = Some(self.made.features.clone());
        subject.grub = self.site.grub;
        subject.disk = Some(self.site.surroundings.clone());
        subject.initramfs = self.initramfs.clone();
        subject.by_dracut = self.start.as_ref().is_some_and(|start| start.by == MadeBy::Dracut);
        Ok(subject)
    }

    fn insight(&self) -> Result<&Insight> {
        self.insight.as_ref().context("the slot was not examined")
    }

    /// Reads the facts about the image, and the initramfs that it has for its kernel, unless dracut is
    /// requested.
    fn look(&mut self, wanted: &SlotWish) -> Result<()> {
        let insight = Insight::of(&self.root, wanted.kernel(self.site.place.slot))?;
        self.initramfs = insight.initramfs(&self.root, wanted.initramfs)?;
        self.insight = Some(insight);
        Ok(())
    }

    /// Makes the initramfs and the entry of the slot. Refuses an initramfs with errors.
    pub fn entry(&mut self, scratch: &Scratch, wanted: &SlotWish, progress: &Progress) -> Result<Entry> {
        if self.keep.is_some() {
            // Files that were carried over may have faults that the image did not have.
            self.mend_files(Ask::Files, wanted)?;
            self.ask(Ask::Files, wanted, progress)?;
        }
        let subject = self.subject(wanted)?;
        let kernel = subject.kernel.clone().context("the slot has no kernel")?;
        let of = |modules| drivers::of_initramfs(&wanted.inventory, modules, &self.made.filesystem.modules());
        let drivers = subject.modules.as_ref().map(of).unwrap_or_default();
        let Chosen { by, why, mended } = choose(&subject, wanted.initramfs, &wanted.policy)?;
        drop(subject);
        self.mended.extend(mended);
        self.start = Some(Start { by, why, drivers: drivers.iter().cloned().collect() });
        let microcode = if wanted.inventory.guest { Microcode::Without } else { Microcode::Early };
        let recipe = Recipe { drivers, filesystem: self.made.filesystem, microcode };
        let path = self.put_initramfs(scratch, (&kernel, by), &recipe, progress)?;
        self.initramfs = Initramfs::read(&self.root, path.clone())?;
        self.finish_entry(kernel, path, wanted, progress)
    }

    /// Takes the image's own initramfs, or makes one; returns its path in the slot.
    fn put_initramfs(
        &self,
        scratch: &Scratch,
        (kernel, by): (&Kernel, MadeBy),
        recipe: &Recipe,
        progress: &Progress,
    ) -> Result<String> {
        let slot = Some(self.site.place.slot);
        let own = Some(&self.initramfs).filter(|_| by == MadeBy::Image);
        let Some(Initramfs::There { path, contents, .. }) = own else {
            let _step = progress.step(slot, "making the initramfs", None);
            return initramfs::make(scratch, self.path(), &self.root, kernel, recipe);
        };
        let _step = progress.step(slot, "taking the image's initramfs", None);
        // The rules report an initramfs that cannot be read.
        let Ok(contents) = contents else { return Ok(path.clone()) };
        let taken = initramfs::take(&self.root, kernel, path, contents)?;
        if taken == *path {
            let lost =
                "the image's own initramfs has no systemd: only a hardware watchdog ends a trial that hangs in it";
            progress.warn(slot, lost);
        }
        Ok(taken)
    }

    /// Runs the rules on the slot as it is now. Refuses errors, and prints new warnings.
    fn ask(&mut self, ask: Ask, wanted: &SlotWish, progress: &Progress) -> Result<()> {
        let report = Report::of(&self.subject(wanted)?, ask, &wanted.policy.after_mending())?;
        report.refuse_errors("the slot", NEXT)?;
        report.warnings(&self.report).for_each(|warning| progress.warn(Some(self.site.place.slot), &warning));
        self.report.join(report);
        Ok(())
    }

    /// Runs the rules on the initramfs, and makes the entry.
    fn finish_entry(
        &mut self,
        kernel: Kernel,
        initramfs: String,
        wanted: &SlotWish,
        progress: &Progress,
    ) -> Result<Entry> {
        self.ask(Ask::Initramfs, wanted, progress)?;
        let subject = self.subject(wanted)?;
        Ok(Entry {
            title: subject.release.title().to_owned(),
            table: self.site.place.table,
            partition: self.site.place.region.number,
            kernel_digest: self.digest_of(&kernel.path)?,
            initramfs_digest: self.digest_of(&initramfs)?,
            kernel,
            initramfs,
            cmdline: subject.cmdline.clone(),
        })
    }

    fn digest_of(&self, path: &str) -> Result<Digest> {
        let file = self.root.file(&LayerPath::clean(path.as_bytes())?)?;
        Digest::of_stream(file).with_context(|| format!("reading {path} of the slot"))
    }
}
