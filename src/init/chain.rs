//! Starts the kernel of an image in place of the running one (kexec(8)): an initramfs is made in memory, of this program,
//! the modules that mount the image, and the image itself, so that nothing is fetched twice.

use crate::error::{Result, failed};
use crate::init::host_layer;
use crate::init::image_file::Mounted;
use crate::init::kernel_log::{Level, log};
use crate::init::memory::without_swap;
use crate::init::plan::{self, Module, Plan, Step};
use crate::init::source::SCHEME;
use crate::init::write_own::write_own;
use crate::init::zram;
use crate::kernel::find::{self, Kernel};
use crate::kernel::module_file;
use crate::kernel::modules::{Linkage, Modules};
use crate::oci::spent::Spent;
use crate::root::mounted::directory::Root;
use crate::root::tree::Tree;
use crate::sys::kexec;
use crate::words::kernel_line::{self, HOST_KEY};
use crate::words::units::Bytes;
use anyhow::Context;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::mount::{UnmountFlags, unmount};
use rustix::system::{RebootCommand, reboot, uname};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::Path;
use std::sync::Arc;

/// Path of the image in the initramfs.
const IMAGE: &str = "image";
/// Largest kernel in bytes; that of Debian 13 has 12 MB.
const KERNEL_MAX: u64 = 256 << 20;

/// Words that the next kernel does not get.
const OLD: [&str; 4] = ["root=", "flipslot.kexec=", "initrd=", host_layer::WORD];

/// Returns the kernel of the image if that has no modules for the running one, and exactly one kernel.
fn another(place: &str) -> Result<Option<Kernel>> {
    let tree = Root::open(Path::new(place))?;
    let version = uname().release().to_string_lossy().into_owned();
    let running = Kernel { version, path: String::new() };
    if find::modules(&tree, &running).is_some() {
        return Ok(None);
    }
    let kernels = find::find(&tree)?;
    let why = match kernels.as_slice() {
        // One that needs no modules, or has lost them.
        [one] if one.version == running.version => return Ok(None),
        [one] => return Ok(Some(one.clone())),
        [] => "no kernel",
        _ => "several kernels",
    };
    let text = format!("the image has no modules for kernel {}, which keeps running: it has {why}", running.version);
    log(Level::Warning, &text);
    Ok(None)
}

/// Says that a root of files does not get the kernel of its image: only an image in one file can be taken along.
pub fn warn_of_another(place: &str) {
    if let Ok(Some(kernel)) = another(place) {
        let (running, version) = (uname().release().to_string_lossy().into_owned(), kernel.version);
        let text = format!("the image is for kernel {version}, but {running} keeps running, without its modules");
        log(Level::Warning, &text);
    }
}

/// Starts the kernel of the image if that is not for the running one; returns if it stays.
pub fn start_another(image: &Mounted) -> Result<()> {
    another(image.place)?.map_or(Ok(()), |kernel| start(&kernel, image))
}

/// Starts the kernel. Returns only if that fails.
fn start(kernel: &Kernel, image: &Mounted) -> Result<()> {
    let size = fs::metadata(image.file).with_context(|| format!("reading {}", image.file))?.len();
    let layers = image.layers.iter().map(|(path, _)| fs::metadata(path).map_or(0, |found| found.len()));
    let whole = size.saturating_add(layers.sum());
    let room = without_swap()?;
    // The kernel reads it into one copy, and makes a second one of that (kernel/kexec_file.c); what is copied here is
    // given back as it is read.
    if room < whole.saturating_mul(2).saturating_add(whole / 8) {
        let needed = Bytes(whole.saturating_mul(2).saturating_add(whole / 8));
        let found = format!(
            "starting kernel {} of the image takes {needed}, and {} are available",
            kernel.version,
            Bytes(room)
        );
        return Err(failed(
            found,
            "boot the image with its own kernel: flipslot netboot; or give the machine more memory",
        ));
    }
    let tree = Root::open(Path::new(image.place))?;
    let loaded = in_memory("kernel", &mut opened(&tree, &kernel.path)?.take(KERNEL_MAX))?;
    let (plan, files) = plan(&tree, kernel, image.format)?;
    drop(tree);
    unmount(image.place, UnmountFlags::DETACH).context("unmounting the image")?;
    let program = fs::read("/proc/self/exe").context("reading this program")?;
    let memory = memfd("initramfs")?;
    let mut archive = write_own(memory, &program, &plan, &files)?;
    archive.add_from(IMAGE, 0o100_444, size, &mut spent(image.file)?)?;
    for (index, (path, _)) in image.layers.iter().enumerate() {
        let size = fs::metadata(path).with_context(|| format!("reading {path}"))?.len();
        archive.add_from(&layer_name(index), 0o100_444, size, &mut spent(path)?)?;
    }
    let initramfs = archive.finish()?;
    let line = fs::read_to_string("/proc/cmdline").context("reading the command line")?;
    let line = cmdline(&line, image);
    let line = CString::new(line)?;
    kexec::load(&loaded, &initramfs, &line).map_err(|errno| {
        let found =
            format!("kernel {} of the image cannot be loaded in place of the running one: {errno}", kernel.version);
        failed(found, "boot the image with its own kernel: flipslot netboot")
    })?;
    drop((loaded, initramfs));
    log(Level::Info, &format!("starting kernel {} of the image", kernel.version));
    reboot(RebootCommand::Kexec).context("starting the kernel of the image")
}

/// Returns the command line of the next kernel: the image is in its initramfs, and it starts no other one.
fn cmdline(line: &str, image: &Mounted) -> String {
    let pinned = image.digest.map_or(String::new(), |digest| format!("@sha256:{digest}"));
    let is_old = |word: &String| OLD.iter().any(|key| word.starts_with(key));
    let words = kernel_line::words(line);
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let (ours, of_init) = words.split_at(end);
    let first = format!("root={SCHEME}/{IMAGE}{pinned}");
    let kept = ours.iter().filter(|word| !is_old(word)).chain(of_init);
    let quoted = kept.map(|word| if word.contains(char::is_whitespace) { format!("\"{word}\"") } else { word.clone() });
    // There is no lease any more that could say it.
    let is_named = ours.iter().any(|word| word.starts_with(HOST_KEY));
    let host = image.host.filter(|_| !is_named).map(|host| format!("{HOST_KEY}{host}"));
    let layers = image.layers.iter().enumerate();
    let layers: Vec<String> = layers.map(|(at, (_, digest))| format!("/{}@sha256:{digest}", layer_name(at))).collect();
    let layers = (!layers.is_empty()).then(|| format!("{}{}", host_layer::WORD, layers.join(",")));
    [first, "flipslot.kexec=no".to_owned()]
        .into_iter()
        .chain(layers)
        .chain(host)
        .chain(quoted)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Returns the name of a layer of the host in the next initramfs.
fn layer_name(index: usize) -> String {
    format!("host-layer-{index}")
}

/// Returns what the next initramfs does, and the files of its modules by their paths.
fn plan(tree: &dyn Tree, kernel: &Kernel, format: &str) -> Result<(Plan, BTreeMap<String, Vec<u8>>)> {
    let modules = Modules::read(tree, kernel)?.unwrap_or_default();
    let is_loadable = |name: &&String| modules.place(name) == Some(Linkage::Loadable);
    let wanted = ["loop", "overlay", format].map(str::to_owned);
    let always: Vec<String> = wanted.iter().filter(is_loadable).cloned().collect();
    let swap = zram::MODULES.map(|name| name.replace('-', "_"));
    let all = modules.with_needs(wanted.iter().chain(&swap).filter(is_loadable).cloned());
    let (mut listed, mut files) = (Vec::new(), BTreeMap::new());
    let folder = find::modules(tree, kernel).unwrap_or_default();
    for name in &all {
        let path = format!("{folder}/{}", modules.path(name).context("a module has no file")?);
        let place = format!("usr/lib/modules/{}/{name}.ko", kernel.version);
        files.insert(place.clone(), module_file::read(&path, opened(tree, &path)?)?);
        let needs = modules.before(name).into_iter().filter(|need| all.contains(*need)).map(str::to_owned).collect();
        let (path, aliases, options) = (format!("/{place}"), Vec::new(), String::new());
        listed.push(Module { name: name.clone(), path, needs, aliases, options });
    }
    let (version, kernel) = (plan::VERSION, kernel.version.clone());
    let steps = vec![Step::MountRoot, Step::Start];
    Ok((
        Plan { version, kernel, modules: listed, always, blacklist: Vec::new(), made: 0, layer_of: None, steps },
        files,
    ))
}

fn opened<'t>(tree: &'t dyn Tree, path: &str) -> Result<Box<dyn Read + 't>> {
    tree.open(path)?.with_context(|| format!("the image has no /{path}"))
}

/// Opens the image to be read once.
fn spent(path: &str) -> Result<Spent<File>> {
    let file = File::options().read(true).write(true).open(path).with_context(|| format!("opening {path}"))?;
    let input = file.try_clone().with_context(|| format!("opening {path}"))?;
    Ok(Spent::new(input, Arc::new(file), 0))
}

/// Makes a file in memory with this content.
fn in_memory(name: &str, content: &mut impl Read) -> Result<File> {
    let mut file = memfd(name)?;
    io::copy(content, &mut file).with_context(|| format!("reading the {name} of the image"))?;
    file.rewind()?;
    Ok(file)
}

fn memfd(name: &str) -> Result<File> {
    Ok(memfd_create(name, MemfdFlags::CLOEXEC).context("making a file in memory")?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_kernel_has_the_image_in_its_initramfs_and_all_other_words() {
        let line = "initrd=initrd root=flipslot:http://srv/x@sha256:ab console=ttyS0 dyndbg=\"a b\" -- init=/x\n";
        let next = "root=flipslot:/image@sha256:cd flipslot.kexec=no console=ttyS0 \"dyndbg=a b\" -- init=/x";
        let image = |digest, host| Mounted { place: "", file: "", format: "", digest, layers: &[], host };
        assert_eq!(cmdline(line, &image(Some("cd"), None)), next);
        assert_eq!(cmdline("quiet\n", &image(None, None)), "root=flipslot:/image flipslot.kexec=no quiet");
        let named = "root=flipslot:/image flipslot.kexec=no flipslot.host=rack1 quiet";
        assert_eq!(cmdline("quiet", &image(None, Some("rack1"))), named);
        let layers = [("/run/x".to_owned(), "ef".to_owned())];
        let with = Mounted { layers: &layers, ..image(None, None) };
        let word = "root=flipslot:/image flipslot.kexec=no flipslot.host-layer=/host-layer-0@sha256:ef quiet";
        assert_eq!(cmdline("flipslot.host-layer=http://srv/x quiet", &with), word);
        let other = "root=flipslot:/image flipslot.kexec=no flipslot.host=x";
        assert_eq!(cmdline("flipslot.host=x", &image(None, Some("rack1"))), other);
    }
}
