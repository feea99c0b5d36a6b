//! An initramfs with flipslot's own init: made from a slot's files alone, without running anything of it.

use crate::boot::root_on::RootOn;
use crate::error::{Result, failed};
use crate::init::plan::{self, Module, Plan, Step};
use crate::init::write_own::write_own;
use crate::init::zram;
use crate::initramfs::carried::flipslot_init;
use crate::initramfs::compress::{Effort, LARGEST, Method};
use crate::initramfs::dracut::{Microcode, Recipe};
use crate::initramfs::firmware;
use crate::initramfs::microcode::early_archive;
use crate::initramfs::modprobe::Settings;
use crate::kernel::drivers::BY_NAME;
use crate::kernel::find::{self, Kernel};
use crate::kernel::module_file;
use crate::kernel::modules::Modules;
use crate::root::tree::Tree;
use crate::words::units::Bytes;
use anyhow::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

/// Largest firmware file in bytes; the largest of a storage controller has 3 MB.
const FIRMWARE_MAX: u64 = 64 << 20;
/// Files of certificate authorities: of Debian, which is where the init looks (network/child.rs), and of Fedora.
const AUTHORITIES: [&str; 2] =
    ["etc/ssl/certs/ca-certificates.crt", "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"];
/// Largest such file in bytes; that of Debian 13 has 220 kB.
const AUTHORITIES_MAX: u64 = 4 << 20;

/// Work of the init of an initramfs.
pub struct Own<'o> {
    /// Modules of the kernel; empty for a kernel that has all of them built in.
    pub modules: &'o Modules,
    /// Its steps.
    pub steps: Vec<Step>,
    /// Modules that these steps load by name.
    pub also: Vec<&'o str>,
}

impl Own<'_> {
    /// Mounts the root at this place, and starts its init.
    pub fn plain<'o>(modules: &'o Modules, on: &RootOn) -> Own<'o> {
        let of_network = BY_NAME.into_iter().filter(|_| on.needs_network());
        let in_memory = zram::MODULES.into_iter().filter(|_| matches!(on, RootOn::Live { .. }));
        let also = of_network.chain(in_memory).filter(|name| modules.path(&name.replace('-', "_")).is_some()).collect();
        Own { modules, steps: vec![Step::MountRoot, Step::Start], also }
    }
}

/// Writes the initramfs of `kernel` for `recipe`. The same slot gives the same bytes.
pub fn write(tree: &dyn Tree, kernel: &Kernel, own: &Own, recipe: &Recipe, mut out: impl Write + Send) -> Result<()> {
    let gathered = Gathered::of(tree, kernel, own, recipe)?;
    if recipe.microcode == Microcode::Early {
        out.write_all(&early_archive(tree)?).context("writing the initramfs")?;
    }
    Method::of(tree, kernel)?.compressed(Effort::of(&recipe.on), out, |pipe| gathered.write(pipe))
}

/// The files of an initramfs.
struct Gathered {
    plan: Plan,
    /// The program.
    init: Vec<u8>,
    /// Content by path.
    files: BTreeMap<String, Vec<u8>>,
}

impl Gathered {
    fn of(tree: &dyn Tree, kernel: &Kernel, own: &Own, recipe: &Recipe) -> Result<Gathered> {
        let modules = own.modules;
        let settings = Settings::read(tree)?;
        let patterns = modules.patterns();
        let chosen = chosen(own, &patterns, recipe);
        let mut files = Files { tree, left: LARGEST, files: BTreeMap::new() };
        let mut listed = Vec::new();
        for name in &chosen.all {
            let path = files.add_module(kernel, modules, name)?;
            listed.push(Module {
                name: name.clone(),
                path: format!("/{path}"),
                needs: modules
                    .before(name)
                    .into_iter()
                    .filter(|need| chosen.all.contains(*need))
                    .map(str::to_owned)
                    .collect(),
                aliases: patterns.get(name.as_str()).into_iter().flatten().map(ToString::to_string).collect(),
                options: settings.options.get(name).cloned().unwrap_or_default(),
            });
        }
        if recipe.on.needs_network() {
            files.add_authorities()?;
        }
        let steps = own.steps.clone();
        let (version, kernel) = (plan::VERSION, kernel.version.clone());
        let blacklist = settings.blacklist.into_iter().collect();
        let made = recipe.on.made();
        let layer_of = recipe.on.fetched().map(|digest| digest.hex().to_owned());
        let plan = Plan { version, kernel, modules: listed, always: chosen.always, blacklist, made, layer_of, steps };
        Ok(Gathered { plan, init: flipslot_init(recipe.on.needs_network())?, files: files.files })
    }

    fn write(self, out: impl Write) -> Result<()> {
        write_own(out, &self.init, &self.plan, &self.files)?.finish()?.flush().context("writing the initramfs")
    }
}

/// The modules of an initramfs.
struct Chosen {
    /// Names of all of them.
    all: BTreeSet<String>,
    /// Names of those that are loaded whatever hardware is found.
    always: Vec<String>,
}

/// Leaves out what nothing would load: a module that no device has a pattern for, and that no other one needs.
fn chosen(own: &Own, patterns: &BTreeMap<&str, BTreeSet<&str>>, recipe: &Recipe) -> Chosen {
    let has_device = |name: &&String| patterns.contains_key(name.as_str());
    let root = recipe.on.modules();
    let is_root = |name: &&String| root.iter().any(|module| module.replace('-', "_") == **name);
    let by_device = recipe.drivers.iter().filter(has_device);
    let always = recipe.drivers.iter().filter(|name| is_root(name) || recipe.named.contains(*name));
    let always: Vec<String> = always.cloned().collect();
    let also = own.also.iter().map(|name| name.replace('-', "_"));
    let all = own.modules.with_needs(by_device.chain(&always).cloned().chain(also).collect::<Vec<_>>());
    Chosen { all, always }
}

/// Files of the slot that are taken into the initramfs.
struct Files<'t> {
    tree: &'t dyn Tree,
    /// Bytes that it may still grow by.
    left: u64,
    files: BTreeMap<String, Vec<u8>>,
}

impl Files<'_> {
    /// Adds a module, uncompressed, and the firmware that it may ask for. Returns its path in the initramfs.
    fn add_module(&mut self, kernel: &Kernel, modules: &Modules, name: &str) -> Result<String> {
        let folder = find::modules(self.tree, kernel).context("the slot has no modules.dep")?;
        let listed = modules.path(name).unwrap_or_default();
        let is_odd =
            |part: &str| part.is_empty() || part.starts_with('.') || !part.bytes().all(|byte| byte.is_ascii_graphic());
        let path = format!("{folder}/{listed}");
        if listed.split('/').any(is_odd) {
            let found = format!(
                "/{folder}/modules.dep names a module '{}', which cannot be the path of one",
                listed.escape_debug()
            );
            return Err(failed(found, REPAIR));
        }
        let missing = || failed(format!("/{path} is missing, which modules.dep names"), REPAIR);
        let file = self.tree.open(&path).with_context(|| format!("reading /{path}"))?.ok_or_else(missing)?;
        let bytes = module_file::read(&path, file)?;
        if !bytes.starts_with(b"\x7fELF") {
            return Err(failed(format!("/{path} is not a kernel module"), REPAIR));
        }
        for name in firmware::listed_in(&bytes) {
            self.add_firmware(&name)?;
        }
        let (stem, _) = listed.rsplit_once(".ko").unwrap_or((listed, ""));
        let place = format!("usr/lib/modules/{}/{stem}.ko", kernel.version);
        self.add(&place, bytes)?;
        Ok(place)
    }

    /// Adds a firmware file as it is in the slot, if it is there.
    fn add_firmware(&mut self, name: &str) -> Result<()> {
        let is_odd = |part: &str| part.is_empty() || part.starts_with('.');
        let found = firmware::paths(name).find(|path| self.tree.has_file(path));
        let Some(path) = found.filter(|_| !name.split('/').any(is_odd)) else { return Ok(()) };
        // The kernel of an initramfs looks in /lib/firmware (kernel: driver-api/firmware/fw_search_path.rst).
        let place = format!("lib/{}", path.trim_start_matches("usr/").trim_start_matches("lib/"));
        if self.files.contains_key(&place) {
            return Ok(());
        }
        let bytes = self.tree.read_bytes(&path, FIRMWARE_MAX)?.unwrap_or_default();
        self.add(&place, bytes)
    }

    /// Adds the certificate authorities that the image trusts, if it has some.
    fn add_authorities(&mut self) -> Result<()> {
        for path in AUTHORITIES {
            if let Some(bytes) = self.tree.read_bytes(path, AUTHORITIES_MAX)? {
                return self.add(AUTHORITIES[0], bytes);
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str, bytes: Vec<u8>) -> Result<()> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or_else(|| {
            failed(
                format!("the modules and their firmware are larger than {} together", Bytes(LARGEST)),
                "choose the hardware: --hardware",
            )
        })?;
        self.files.insert(path.to_owned(), bytes);
        Ok(())
    }
}

/// Hint for a slot whose modules are not as depmod(8) lists them.
const REPAIR: &str = "install the kernel again in the image, and run depmod";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::hint;
    use crate::filesystem::kind::Filesystem;
    use crate::initramfs::carried::{Carried, carry};
    use crate::initramfs::read::contents::Contents;
    use crate::root::mounted::directory::Root;
    use crate::tool::Tool;
    use crate::words::partuuid::PartUuid;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    const FOLDER: &str = "lib/modules/6.1";

    /// A slot whose kernel has ext4 with what it needs, and drivers for two disks and one disk in memory.
    fn slot() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str, bytes: &[u8]| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        let names = ["fs/ext4", "fs/jbd2", "crypto/crc32c-generic", "block/virtio_blk", "virtio/virtio", "block/brd"];
        for name in names {
            put(&format!("{FOLDER}/kernel/{name}.ko"), format!("\x7fELF {name}").as_bytes());
        }
        let dep = "kernel/fs/ext4.ko: kernel/fs/jbd2.ko\nkernel/fs/jbd2.ko:\nkernel/crypto/crc32c-generic.ko:\n\
                   kernel/block/virtio_blk.ko: kernel/virtio/virtio.ko\nkernel/virtio/virtio.ko:\nkernel/block/brd.ko:\n";
        put(&format!("{FOLDER}/modules.dep"), dep.as_bytes());
        put(
            &format!("{FOLDER}/modules.alias"),
            b"alias virtio:d00000002v* virtio_blk\nalias crypto-crc32c crc32c_generic\n",
        );
        put(&format!("{FOLDER}/modules.softdep"), b"softdep ext4 pre: crypto-crc32c\n");
        put("etc/modprobe.d/x.conf", b"options virtio-blk queues=2\nblacklist brd\n");
        folder
    }

    fn made(folder: &Path) -> Result<Vec<u8>> {
        let program = zstd::bulk::compress(b"the init", 1).unwrap();
        let program = Box::leak(program.into_boxed_slice());
        carry(Carried { disk: program, net: program });
        let (root, kernel) = (Root::open(folder).unwrap(), Kernel { version: "6.1".into(), path: String::new() });
        let modules = Modules::read(&root, &kernel)?.unwrap();
        let on = RootOn::Partition { partuuid: PartUuid::NONE, filesystem: Filesystem::Ext4 };
        let drivers = modules.with_needs(["virtio_blk", "brd", "ext4"].map(str::to_owned));
        let recipe = Recipe { drivers, named: BTreeSet::new(), on, microcode: Microcode::Early };
        let mut bytes = Vec::new();
        write(&root, &kernel, &Own::plain(&modules, &recipe.on), &recipe, &mut bytes)?;
        Ok(bytes)
    }

    fn plan_of(archive: &[u8]) -> Plan {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("archive"), archive).unwrap();
        let script = "cd \"$1\" && gzip -dc archive | cpio -i --quiet && cat init";
        assert_eq!(Tool::new("sh").args(["-ec", script, "sh"]).arg(folder.path()).run().unwrap().stdout, "the init");
        serde_json::from_slice(&fs::read(folder.path().join("flipslot.json")).unwrap()).unwrap()
    }

    #[test]
    fn it_holds_the_init_a_plan_and_the_modules_that_something_would_load() {
        let folder = slot();
        let archive = made(folder.path()).unwrap();
        assert_eq!(archive, made(folder.path()).unwrap(), "the same slot gives the same bytes");
        let contents = Contents::read(&archive[..]).unwrap();
        let modules: Vec<String> = contents.modules("6.1").into_iter().collect();
        assert_eq!(modules, ["crc32c_generic", "ext4", "jbd2", "virtio", "virtio_blk"], "and no disk in memory");
        let plan = plan_of(&archive);
        assert_eq!(plan.always, ["crc32c_generic", "ext4"], "what mounts the root");
        assert_eq!(plan.blacklist, ["brd"]);
        let module = |name: &str| plan.modules.iter().find(|module| module.name == name).unwrap();
        assert_eq!(module("ext4").needs, ["crc32c_generic", "jbd2"]);
        let blk = module("virtio_blk");
        assert_eq!(
            (blk.aliases.as_slice(), blk.options.as_str()),
            (&["virtio:d00000002v*".to_owned()][..], "queues=2")
        );
        assert_eq!(blk.path, "/usr/lib/modules/6.1/kernel/block/virtio_blk.ko");
    }

    #[test]
    fn a_compressed_module_is_unpacked_and_brings_its_firmware() {
        let folder = slot();
        let place = folder.path().join(FOLDER).join("kernel/virtio");
        // A real module, of which only the section with the names counts.
        let source =
            ".section .modinfo,\"a\"\n.asciz \"firmware=vendor/x.bin\"\n.asciz \"firmware=../../etc/shadow\"\n";
        let script = "cd \"$1\" && printf '%s' \"$2\" | as -o virtio.ko - && xz -f virtio.ko";
        Tool::new("sh").args(["-ec", script, "sh"]).arg(&place).arg(source).run().unwrap();
        let dep = folder.path().join(FOLDER).join("modules.dep");
        fs::write(&dep, fs::read_to_string(&dep).unwrap().replace("virtio/virtio.ko", "virtio/virtio.ko.xz")).unwrap();
        fs::create_dir_all(folder.path().join("usr/lib/firmware/vendor")).unwrap();
        fs::write(folder.path().join("usr/lib/firmware/vendor/x.bin"), "code").unwrap();
        fs::write(folder.path().join("etc/shadow"), "secret").unwrap();
        let contents = Contents::read(&made(folder.path()).unwrap()[..]).unwrap();
        assert!(contents.has("usr/lib/modules/6.1/kernel/virtio/virtio.ko"), "{:?}", contents.names);
        assert!(contents.has("lib/firmware/vendor/x.bin"));
        assert!(!contents.names.iter().any(|name| name.contains("shadow")), "{:?}", contents.names);
    }

    #[test]
    fn modules_that_are_not_as_depmod_lists_them_are_errors_and_nothing_outside_is_read() {
        let outside = tempfile::NamedTempFile::new().unwrap();
        fs::write(outside.path(), "\x7fELF of this machine").unwrap();
        let change = |what: fn(&Path, &Path)| {
            let folder = slot();
            what(&folder.path().join(FOLDER).join("kernel/virtio/virtio.ko"), outside.path());
            made(folder.path())
        };
        let said = |what| {
            let error = change(what).unwrap_err();
            assert_eq!(hint(&error), Some(REPAIR), "{error:#}");
            format!("{error:#}")
        };
        let missing = "/lib/modules/6.1/kernel/virtio/virtio.ko is missing, which modules.dep names";
        assert_eq!(said(|module, _| fs::remove_file(module).unwrap()), missing);
        let leads_out = |module: &Path, outside: &Path| {
            fs::remove_file(module).unwrap();
            symlink(outside, module).unwrap();
        };
        assert_eq!(said(leads_out), missing, "the target is looked for in the slot");
        assert!(said(|module, _| fs::write(module, "#!/bin/sh").unwrap()).contains("is not a kernel module"));
        let fifo = |module: &Path, _: &Path| {
            fs::remove_file(module).unwrap();
            rustix::fs::mknodat(rustix::fs::CWD, module, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
                .unwrap();
        };
        assert!(change(fifo).is_err());
    }

    #[test]
    fn lists_with_circles_absurd_names_and_thousands_of_modules_end() {
        let with_dep = |dep: &str| {
            let folder = slot();
            fs::write(folder.path().join(FOLDER).join("modules.dep"), dep).unwrap();
            made(folder.path())
        };
        let circle = "kernel/fs/ext4.ko: kernel/fs/jbd2.ko\nkernel/fs/jbd2.ko: kernel/fs/ext4.ko\n";
        assert_eq!(plan_of(&with_dep(circle).unwrap()).modules.len(), 2);
        for absurd in
            ["../../../etc/x/ext4.ko", "kernel//ext4.ko", "/etc/ext4.ko", "kernel/.x/ext4.ko", "kernel/\u{1}/ext4.ko"]
        {
            let error = with_dep(&format!("{absurd}:\n")).unwrap_err();
            assert!(format!("{error:#}").contains("which cannot be the path of one"), "{absurd}: {error:#}");
        }
        let many: String = (0..10_000).map(|n| format!("kernel/m{n}.ko: kernel/m{}.ko\n", n + 1)).collect();
        let error = with_dep(&format!("kernel/fs/ext4.ko: kernel/m0.ko\n{many}")).unwrap_err();
        assert!(format!("{error:#}").contains("is missing"), "{error:#}");
    }
}
