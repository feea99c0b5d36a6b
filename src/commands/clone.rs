//! `flipslot clone`: one golden disk in, many disks out.

use crate::cli::CloneArgs;
use crate::clone::golden::{Golden, Master};
use crate::clone::source::Source;
use crate::clone::{caveats, run, targets};
use crate::error::Result;
use crate::mount::loop_device::Loop;
use crate::mount::scratch::Scratch;
use crate::output::clone_plan::ClonePlan;
use crate::output::cloned::Cloned;
use crate::output::document::Format;
use crate::output::print::print;
use crate::progress::Progress;
use crate::request::consent::{Consent, Granted};
use std::time::Instant;

/// Makes every target a copy of the source.
///
/// Everything that can be refused is refused before the first byte is written. From then on each disk is on
/// its own: it does not boot until its own last write, and a failure costs that disk alone.
pub fn run(args: &CloneArgs) -> Result<()> {
    let begin = Instant::now();
    let progress = Progress::new(args.progress);
    let size = args.size.as_deref().map(str::parse).transpose()?;
    let consent = Consent::of(&args.consent)?;
    let scratch = Scratch::enter()?;
    Loop::refuse_if_none()?;
    let source = Source::open(&args.source)?;
    let golden = Golden::look(&source)?;
    let master = Master { source: &source, golden: &golden };
    let targets = targets::measure(&args.targets, master, size)?;
    if args.dry_run {
        let remarks = caveats::of(&source, &golden, &scratch);
        let plan = ClonePlan::of(master, &targets, &consent, remarks)?;
        return print(&plan, Format::of(args.json));
    }
    let disks = targets::claim(targets, |path, geometry| consent.claim(path, geometry), Granted::open)?;
    for remark in caveats::of(&source, &golden, &scratch) {
        progress.warn(remark.slot, &remark.text);
    }
    let outcomes = run::run(master, disks, &scratch, &progress); // from here on the targets change
    let cloned = Cloned::new(&source, outcomes, begin.elapsed());
    print(&cloned, Format::of(args.json))?;
    cloned.refuse_if_any_failed()
}
