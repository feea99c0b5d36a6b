//! `flipslot image`: an OCI image in, its root as one file out.

use crate::cli::RootFileArgs;
use crate::disk::new::file::{Existing, folder_of};
use crate::error::Result;
use crate::forms::image::RootFile;
use crate::oci;
use crate::oci::platform::Platform;
use crate::output::document::Format;
use crate::output::print::print;
use crate::output::root_file::WrittenRootFile;
use crate::progress::Progress;
use crate::request::config::Config;
use crate::request::slot::access;
use crate::root::memory::MemoryTree;
use crate::root::packed::Packing;
use std::time::Instant;

/// Fetches an image, and writes its root into a file. Whatever is there already is refused before anything is fetched.
pub fn run(args: &RootFileArgs) -> Result<()> {
    let begin = Instant::now();
    let progress = Progress::new(args.fetch.progress);
    oci::trust::bundle_if_none()?;
    let existing = if args.yes { Existing::Replace } else { Existing::Refuse };
    let file = RootFile::of(&args.out, existing, Packing::of(args.format, args.compress)?)?;
    let arch = args.fetch.arch.as_ref().map(|arch| arch.parse()).transpose()?;
    let platform = arch.unwrap_or_else(Platform::of_this_machine);
    let step = progress.step(None, "looking up the image", None);
    let reference = oci::registries::Conf::find()?.reference(&args.reference)?;
    let image = oci::resolve(&reference, &platform, &access(&args.fetch, &Config::default()))?;
    drop(step);
    let step = progress.step(None, "reading layers", Some(image.stored_bytes()));
    let mut tree = MemoryTree::complete(folder_of(&args.out));
    image.apply_to(&mut tree, MemoryTree::budget(), step.counter())?;
    drop(step);
    let step = progress.step(None, "writing the file", None);
    let facts = file.write(&tree, &image)?;
    drop(step);
    print(&WrittenRootFile::new(facts, progress.phases()).took(begin.elapsed()), Format::of(args.fetch.json))
}
