//! The agent, which flipslot adds to a slot: its own program, the units that watch over a trial, and the one that runs
//! what `flipslot.run=` names. All of it, except for the link `/usr/bin/flipslot`, is below `/usr/lib`, where an image's own
//! packages have nothing called flipslot. With OpenRC, which has its services in `/etc`, there is the last of them alone.

use crate::error::{Result, refused};
use crate::initramfs::trial_units::SYSTEMD;
use crate::kernel::elf;
use crate::kernel::elf::Elf;
use crate::layer::LayerPath;
use crate::layer::entry::Meta;
use crate::root::edit::Edit;
use anyhow::Context;
use std::fs::File;
use std::io::Read;

/// Path of the program in the slot.
const PROGRAM: &str = "/usr/lib/flipslot/flipslot";
/// Units, and the script that runs after the last service has stopped (systemd-shutdown(8)): path, text
/// and permissions.
const FILES: [(&str, &str, u32); 4] = [
    ("/usr/lib/systemd/system/flipslot-trial.service", include_str!("../../agent/flipslot-trial.service"), 0o644),
    ("/usr/lib/systemd/system/flipslot-health.service", include_str!("../../agent/flipslot-health.service"), 0o644),
    ("/usr/lib/systemd/system/flipslot-run.service", include_str!("../../agent/flipslot-run.service"), 0o644),
    ("/usr/lib/systemd/system-shutdown/flipslot", include_str!("../../agent/shutdown"), 0o755),
];
/// Paths of the target that systemd has since version 240 (systemd.special(7)).
const BOOT_COMPLETE: [&str; 2] =
    ["usr/lib/systemd/system/boot-complete.target", "lib/systemd/system/boot-complete.target"];
/// Service for OpenRC, as path and text, and the link that starts it (openrc-run(8)).
const OPENRC: (&str, &str) = ("/etc/init.d/flipslot-run", include_str!("../../agent/flipslot-run.openrc"));
const OPENRC_LINK: (&str, &str) = ("/etc/runlevels/default/flipslot-run", "/etc/init.d/flipslot-run");
/// Paths of OpenRC's interpreter of services, with a merged /usr and without.
const OPENRC_RUN: [&str; 3] = ["sbin/openrc-run", "usr/sbin/openrc-run", "usr/bin/openrc-run"];
/// Symbolic link that puts the program into `PATH`.
const IN_PATH: (&str, &str) = ("/usr/bin/flipslot", "../lib/flipslot/flipslot");
/// Symbolic links that start the units of systemd, as path and target.
const LINKS: [(&str, &str); 3] = [
    ("/usr/lib/systemd/system/sysinit.target.wants/flipslot-trial.service", "../flipslot-trial.service"),
    ("/usr/lib/systemd/system/basic.target.wants/flipslot-health.service", "../flipslot-health.service"),
    ("/usr/lib/systemd/system/multi-user.target.wants/flipslot-run.service", "../flipslot-run.service"),
];

/// Refuses to add the agent if this program is linked dynamically: an image's C library may not run it.
pub fn refuse_if_dynamic() -> Result<()> {
    if is_dynamic(own_program()?)? {
        return Err(refused(
            "this flipslot is linked dynamically, and the image's C library may differ from this machine's",
            "build a static one (make build), or omit the agent: --no-agent",
        ));
    }
    Ok(())
}

/// Adds the agent to a root, unless that has neither systemd nor OpenRC, which would run it. Returns the paths that were
/// added.
pub fn install(root: &mut dyn Edit) -> Result<Vec<String>> {
    let mut added = Vec::new();
    let has = |root: &dyn Edit, paths: &[&str]| paths.iter().any(|path| root.has_program(path));
    let (has_systemd, has_openrc) = (has(root, &SYSTEMD), has(root, &OPENRC_RUN));
    if !has_systemd && !has_openrc {
        return Ok(added);
    }
    let clean = |path: &str| LayerPath::clean(path.as_bytes());
    root.put_file(&clean(PROGRAM)?, &Meta { mode: 0o755, ..Meta::default() }, &mut own_program()?)?;
    root.put_symlink(&clean(IN_PATH.0)?, IN_PATH.1.as_bytes())?;
    added.extend([PROGRAM.to_owned(), IN_PATH.0.to_owned()]);
    if !has_systemd {
        let (path, text) = OPENRC;
        root.put_file(&clean(path)?, &Meta { mode: 0o755, ..Meta::default() }, &mut text.as_bytes())?;
        root.put_symlink(&clean(OPENRC_LINK.0)?, OPENRC_LINK.1.as_bytes())?;
        added.extend([path, OPENRC_LINK.0].map(str::to_owned));
        return Ok(added);
    }
    let has_boot_complete = BOOT_COMPLETE.iter().any(|path| root.has_file(path));
    for (path, text, mode) in FILES {
        let text = if has_boot_complete { text.to_owned() } else { without_boot_complete(text) };
        root.put_file(&clean(path)?, &Meta { mode, ..Meta::default() }, &mut text.as_bytes())?;
        added.push(path.to_owned());
    }
    for (path, target) in LINKS {
        root.put_symlink(&clean(path)?, target.as_bytes())?;
        added.push(path.to_owned());
    }
    Ok(added)
}

/// Takes what systemd before 240 does not have out of a unit: boot-complete.target, without which the health check would
/// not start. It waits for the whole system by itself.
fn without_boot_complete(unit: &str) -> String {
    let lines = unit.lines().filter(|line| *line != "Requires=boot-complete.target");
    lines.map(|line| line.replace(" boot-complete.target", " sysinit.target") + "\n").collect()
}

fn own_program() -> Result<File> {
    File::open("/proc/self/exe").context("opening this program's own file")
}

fn is_dynamic(program: File) -> Result<bool> {
    let mut head = Vec::new();
    program.take(elf::HEAD).read_to_end(&mut head).context("reading this program's own file")?;
    Ok(Elf::parse(&head).is_none_or(|elf| elf.interpreter.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_health_check_of_an_old_systemd_needs_no_target_that_it_lacks() {
        let (_, unit, _) = FILES[1];
        let old = without_boot_complete(unit);
        assert!(unit.contains("\nRequires=boot-complete.target\n"), "{unit}");
        assert!(!old.lines().any(|line| !line.starts_with('#') && line.contains("boot-complete")), "{old}");
        assert!(old.contains("\nAfter=local-fs.target sysinit.target\n"), "{old}");
    }
}
