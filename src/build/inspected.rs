//! Stage 2: a root in which the rules find no error, after the requested fixes.

use crate::boot::cmdline::Cmdline;
use crate::boot::record::Fixed;
use crate::build::agent;
use crate::build::filled::{Earlier, Filled, Site};
use crate::build::session::Session;
use crate::check::fix;
use crate::check::report::{Ask, Outcome, Report};
use crate::check::subject::{ImageFacts, Initramfs, Subject};
use crate::error::{Kind, Result, failed};
use crate::filesystem::backports::reads_as;
use crate::filesystem::feature_table::Version;
use crate::kernel::find::Kernel;
use crate::request::slot::{Agent, SlotRequest};
use crate::root::carry_over::{CarryOver, Which};
use crate::root::edit::Edit;
use anyhow::Context;
use std::path::Path;

/// Hint for an image that would not come up, where no rule has a better one.
const NEXT: &str = "fix the image";

/// Result of an inspection.
pub enum Inspection<R> {
    /// The root may become bootable.
    Passed(Box<Inspected<R>>),
    /// Its filesystem must be made and filled again first.
    FormatAgain(FormatAgain<R>),
}

/// A request to make a root's filesystem again, which only forms with a filesystem can do.
pub struct FormatAgain<R> {
    /// The root as it is; nothing of it is needed any more.
    pub root: R,
    /// Kernel that must mount the new one.
    pub kernel: Option<Version>,
    /// Findings, for [`Filled::again`].
    pub earlier: Earlier,
}

/// A root without errors that are neither fixed nor allowed.
pub struct Inspected<R> {
    pub(super) root: R,
    pub(super) site: Site,
    pub(super) facts: ImageFacts,
    /// Kernel that boots.
    pub(super) kernel: Kernel,
    /// Initramfs that the image has for it.
    pub(super) own: Initramfs,
    pub(super) agent: Vec<String>,
    pub(super) keep: Option<CarryOver>,
    pub(super) carried: Vec<String>,
    pub(super) fixed: Vec<Fixed>,
    pub(super) report: Report,
}

impl<R: Edit> Filled<R> {
    /// Runs the rules on the files that the image brought. Makes the requested fixes, and refuses the errors that
    /// are left.
    pub fn inspect(self, request: &SlotRequest, session: Session) -> Result<Inspection<R>> {
        let Filled { root, site, earlier } = self;
        let facts = ImageFacts::of(&root, request.kernel(site.slot))?;
        let own = facts.initramfs(&root, request.initramfs)?;
        let look = Look { root, site, facts, own, fixed: earlier.fixed };
        let first = match earlier.first {
            Some(first) => first,
            None => {
                let first = look.first(request, session)?;
                if let Some(fixed) = look.format_again(&first, request, session) {
                    let name = look.site.on.filesystem_name().unwrap_or_default();
                    let kernel = look.facts.kernel.as_ref().and_then(|kernel| reads_as(&kernel.version, name));
                    let earlier = Earlier { first: Some(first), fixed };
                    return Ok(Inspection::FormatAgain(FormatAgain { root: look.root, kernel, earlier }));
                }
                first
            }
        };
        Ok(Inspection::Passed(Box::new(look.fix(first, request, session)?)))
    }
}

/// A root that the rules look at.
struct Look<R> {
    root: R,
    site: Site,
    facts: ImageFacts,
    own: Initramfs,
    fixed: Vec<Fixed>,
}

impl<R: Edit> Look<R> {
    fn subject<'s>(&'s self, request: &'s SlotRequest) -> Result<Subject<'s>> {
        subject(&self.root, &self.facts, &self.site, Boot { fixed: &self.fixed, initramfs: &self.own }, request)
    }

    fn first(&self, request: &SlotRequest, session: Session) -> Result<Report> {
        let _step = session.progress.step(self.site.slot, "checking the image", None);
        Report::of(&self.subject(request)?, Ask::Fresh, &request.policy)
    }

    /// Returns the fixes that making the filesystem again makes; `None` if it is not to be made again. flipslot
    /// also makes it again if it chose features itself that the image's kernel does not know: that kernel is
    /// known only once the image is written.
    fn format_again(&self, first: &Report, request: &SlotRequest, session: Session) -> Option<Vec<Fixed>> {
        let fixed = fix::by_format(first, "the filesystem was made again, without new features");
        let kernel = self.facts.kernel.as_ref().map(|kernel| kernel.version.as_str());
        let unknown = self.site.features.as_ref().zip(kernel);
        let unknown = unknown.map(|(features, kernel)| features.too_new_for_kernel(kernel)).unwrap_or_default();
        let is_ours = request.mkfs_options.is_empty() && !unknown.is_empty();
        if is_ours {
            let (kernel, unknown) = (kernel.unwrap_or_default(), unknown.join(", "));
            let why = format!("the filesystem is made again, without what kernel {kernel} does not know: {unknown}");
            session.progress.warn(self.site.slot, &why);
        }
        (is_ours || !fixed.is_empty()).then_some(fixed)
    }

    /// Makes the other fixes, and refuses the errors that are left.
    fn fix(mut self, first: Report, request: &SlotRequest, session: Session) -> Result<Inspected<R>> {
        let by_words = fix::by_words(&first, &self.subject(request)?);
        self.fixed.extend(by_words);
        let second = Report::of(&self.subject(request)?, Ask::Fresh, &request.policy)?;
        let context = self.subject(request)?.fix_context();
        self.fixed.extend(fix::by_files(&second, &context, &mut self.root)?);
        let left = Report::of(&self.subject(request)?, Ask::Fresh, &request.policy.after_fixing())?;
        left.refuse_errors("the image", Kind::Failed, NEXT)?;
        left.warnings(&Report::default()).for_each(|warning| session.progress.warn(self.site.slot, &warning));
        let mut report = second.after(first);
        report.findings.retain(|found| found.outcome == Outcome::Fixed);
        report.join(left);
        let Look { root, site, facts, own, fixed } = self;
        // A rule that cannot be allowed refuses an image without one.
        let kernel = facts.kernel.clone().ok_or_else(|| failed("the image has no kernel", NEXT))?;
        Ok(Inspected {
            root,
            site,
            facts,
            kernel,
            own,
            agent: Vec::new(),
            keep: None,
            carried: Vec::new(),
            fixed,
            report,
        })
    }
}

impl<R: Edit> Inspected<R> {
    /// Adds the agent, if it is requested and the image has a systemd to run it.
    pub fn add_agent(&mut self, agent: Agent, session: Session) -> Result<()> {
        if agent == Agent::LeaveOut {
            return Ok(());
        }
        self.agent = agent::install(&mut self.root).context("adding the agent")?;
        if self.agent.is_empty() {
            session.progress.warn(self.site.slot, "the image has no systemd to run the agent: it is left out");
        }
        Ok(())
    }

    /// Carries files over from the running slot, and runs the rules on them. Secret ones follow in
    /// [`Inspected::make_bootable`], when no program of the image runs any more.
    pub fn carry_over(&mut self, keep: &CarryOver, request: &SlotRequest, session: Session) -> Result<()> {
        self.keep = Some(keep.clone());
        self.carry(Which::Public, request, session)
    }

    pub(super) fn carry(&mut self, which: Which, request: &SlotRequest, session: Session) -> Result<()> {
        let Some(keep) = &self.keep else { return Ok(()) };
        let carried = keep.carry(Path::new("/"), &mut self.root, which)?;
        if carried.is_empty() {
            return Ok(());
        }
        self.carried.extend(carried);
        let report = Report::of(&self.subject(request)?, Ask::Files, &request.policy)?;
        let context = self.subject(request)?.fix_context();
        self.fixed.extend(fix::by_files(&report, &context, &mut self.root)?);
        let own = std::mem::take(&mut self.own);
        let asked = self.ask(&own, Ask::Files, request, session);
        self.own = own;
        asked
    }

    /// Returns the root as the rules see it, with the image's own initramfs.
    pub(super) fn subject<'s>(&'s self, request: &'s SlotRequest) -> Result<Subject<'s>> {
        self.subject_with(&self.own, request)
    }

    /// Returns the root as the rules see it, with this initramfs.
    pub(super) fn subject_with<'s>(
        &'s self,
        initramfs: &'s Initramfs,
        request: &'s SlotRequest,
    ) -> Result<Subject<'s>> {
        subject(&self.root, &self.facts, &self.site, Boot { fixed: &self.fixed, initramfs }, request)
    }

    /// Runs the rules on the root as it is now. Refuses errors, and prints new warnings.
    pub(super) fn ask(&mut self, boots: &Initramfs, ask: Ask, request: &SlotRequest, session: Session) -> Result<()> {
        let subject = self.subject_with(boots, request)?;
        let report = Report::of(&subject, ask, &request.policy.after_fixing())?;
        report.refuse_errors("the slot", Kind::Failed, NEXT)?;
        report.warnings(&self.report).for_each(|warning| session.progress.warn(self.site.slot, &warning));
        self.report.join(report);
        Ok(())
    }
}

/// The boot of a root, as far as it is decided.
struct Boot<'b> {
    fixed: &'b [Fixed],
    initramfs: &'b Initramfs,
}

/// Returns a root as the rules see it.
fn subject<'s>(
    root: &'s impl Edit,
    facts: &'s ImageFacts,
    site: &Site,
    boot: Boot<'s>,
    request: &'s SlotRequest,
) -> Result<Subject<'s>> {
    let words: Vec<String> = boot.fixed.iter().flat_map(|fixed| fixed.words.iter().cloned()).collect();
    let cmdline = Cmdline::new(site.slot, &site.on, &request.consoles, &request.kargs)?;
    Ok(Subject {
        tree: root,
        facts,
        inventory: &request.inventory,
        cmdline: cmdline.with(&words),
        on: site.on.clone(),
        features: site.features.clone(),
        grub: site.grub,
        names: site.names.clone(),
        in_memory: site.in_memory,
        initramfs: boot.initramfs,
    })
}
