//! The table of all rules. docs/check.md shows them, and each has a test with an image that breaks it.

use crate::check::rule::Needs::{Files, FreshFiles, Initramfs};
use crate::check::rule::Severity::{Error, Warning};
use crate::check::rule::{Fix, How, Rule};
use crate::check::rules::{
    access, agent, cmdline, drivers, filesystem, getty, init, initramfs, kernel, live, machine_id, mounts, selinux,
    target,
};
use crate::error::{Result, usage};

/// All rules, in the order in which a boot would meet what they look for.
pub const RULES: &[Rule] = &[
    Rule {
        id: "kernel-missing",
        severity: Error,
        needs: Files,
        why: "there is nothing to boot",
        fix: None,
        find: kernel::missing,
    },
    Rule {
        id: "kernel-several",
        severity: Error,
        needs: Files,
        why: "an update can change which one comes first: choose with --kernel VERSION",
        fix: None,
        find: kernel::several,
    },
    Rule {
        id: "kernel-format",
        severity: Error,
        needs: Files,
        why: "neither GRUB nor kexec can start it",
        fix: None,
        find: kernel::format,
    },
    Rule {
        id: "modules-missing",
        severity: Error,
        needs: Files,
        why: "the kernel would find no disk and no filesystem; install its modules, and run depmod in the image",
        fix: None,
        find: kernel::modules,
    },
    Rule {
        id: "cmdline-length",
        severity: Error,
        needs: Files,
        why: "the kernel truncates it, and loses what makes a trial safe: shorten --kargs",
        fix: None,
        find: cmdline::length,
    },
    Rule {
        id: "title",
        severity: Warning,
        needs: Files,
        why: "GRUB's menu shows it as it is, because flipslot quotes it; other tools may run it",
        fix: None,
        find: cmdline::title,
    },
    Rule {
        id: "filesystem-kernel",
        severity: Error,
        needs: Files,
        why: "the kernel refuses to mount its root",
        fix: Some(Fix { does: "makes the filesystem again for its kernel, without --mkfs-options", how: How::Format }),
        find: filesystem::kernel,
    },
    Rule {
        id: "filesystem-grub",
        severity: Error,
        needs: Files,
        why: "GRUB finds neither kernel nor initramfs",
        fix: Some(Fix { does: "makes the filesystem again for its kernel, without --mkfs-options", how: How::Format }),
        find: filesystem::grub,
    },
    Rule {
        id: "filesystem-old-grub",
        severity: Warning,
        needs: Files,
        why: "GRUB may find neither kernel nor initramfs: test a boot through GRUB before you rely on it",
        fix: Some(Fix { does: "makes the filesystem again for its kernel, without --mkfs-options", how: How::Format }),
        find: filesystem::old_grub,
    },
    Rule {
        id: "dracut-missing",
        severity: Error,
        needs: Files,
        why: "without an initramfs the kernel does not find its root",
        fix: None,
        find: initramfs::dracut_missing,
    },
    Rule {
        id: "initramfs-damaged",
        severity: Error,
        needs: Initramfs,
        why: "the kernel panics, or starts without what it needs",
        fix: Some(Fix { does: "makes a new one", how: How::Remake }),
        find: initramfs::damaged,
    },
    Rule {
        id: "initramfs-compression",
        severity: Error,
        needs: Initramfs,
        why: "the kernel cannot unpack it, and finds no root",
        fix: Some(Fix { does: "makes a new one", how: How::Remake }),
        find: initramfs::compression,
    },
    Rule {
        id: "initramfs-memory",
        severity: Error,
        needs: Initramfs,
        why: "the kernel unpacks only part of it",
        fix: Some(Fix { does: "makes a new one", how: How::Remake }),
        find: initramfs::memory,
    },
    Rule {
        id: "driver-missing",
        severity: Error,
        needs: Initramfs,
        why: "the kernel does not find the disk that its root is on",
        fix: Some(Fix { does: "makes a new initramfs", how: How::Remake }),
        find: drivers::boot,
    },
    Rule {
        id: "driver-root",
        severity: Error,
        needs: Initramfs,
        why: "the kernel finds its root, but cannot mount it",
        fix: Some(Fix { does: "makes a new initramfs", how: How::Remake }),
        find: drivers::root,
    },
    Rule {
        id: "firmware-missing",
        severity: Warning,
        needs: Initramfs,
        why: "the device may not start without it: install the package that has it, such as firmware-linux",
        fix: None,
        find: drivers::firmware,
    },
    Rule {
        id: "driver-network",
        severity: Warning,
        needs: Files,
        why: "the slot comes up without this network card",
        fix: None,
        find: drivers::network,
    },
    Rule {
        id: "init-missing",
        severity: Error,
        needs: Files,
        why: "the kernel finds its root, but has nothing to start",
        fix: None,
        find: init::missing,
    },
    Rule {
        id: "init",
        severity: Error,
        needs: Files,
        why: "the kernel cannot start its first program, and panics",
        fix: None,
        find: init::broken,
    },
    Rule {
        id: "selinux",
        severity: Error,
        needs: Files,
        why: "systemd is denied what it needs, and stops",
        fix: Some(Fix {
            does: "adds enforcing=0 to the command line, until the files are labelled",
            how: How::Words(selinux::permissive),
        }),
        find: selinux::unlabelled,
    },
    Rule {
        id: "default-target",
        severity: Error,
        needs: Files,
        why: "systemd ends in its rescue shell, or nowhere",
        fix: Some(Fix { does: "links it to multi-user.target", how: How::Files(target::link_server) }),
        find: target::default,
    },
    Rule {
        id: "agent-overridden",
        severity: Error,
        needs: Files,
        why: "a trial would have no deadline, or would never be confirmed: remove it from the image, or omit the agent",
        fix: None,
        find: agent::overridden,
    },
    Rule {
        id: "fstab",
        severity: Error,
        needs: Files,
        why: "systemd waits 90 seconds for it, and then stops in its emergency shell or is degraded",
        fix: Some(Fix { does: "comments those lines out", how: How::Files(mounts::comment_fstab) }),
        find: mounts::fstab,
    },
    Rule {
        id: "crypttab",
        severity: Error,
        needs: Files,
        why: "systemd waits 90 seconds for it, and is degraded",
        fix: Some(Fix { does: "comments those lines out", how: How::Files(mounts::comment_crypttab) }),
        find: mounts::crypttab,
    },
    Rule {
        id: "resume",
        severity: Error,
        needs: Files,
        why: "the boot waits for it in vain: remove it from --kargs",
        fix: None,
        find: mounts::resume,
    },
    Rule {
        id: "containers-on-overlay",
        severity: Warning,
        needs: Files,
        why: "they copy each image whole, or fail: use a root of files, --root files for a slot, netboot --format unpacked without a disk",
        fix: None,
        find: live::containers,
    },
    Rule {
        id: "root-memory",
        severity: Error,
        needs: Files,
        why: "it does not come up: make the image smaller, or use a disk, or flipslot.zram= with a root of files",
        fix: None,
        find: live::memory,
    },
    Rule {
        id: "dracut-live",
        severity: Error,
        needs: Files,
        why: "it would make an initramfs that finds no root: install it in the image, or omit --initramfs dracut",
        fix: None,
        find: live::livenet,
    },
    Rule {
        id: "units-of-disks",
        severity: Warning,
        needs: Files,
        why: "without a disk it fails, and with it the health check: mask it in the image",
        fix: None,
        find: live::units_of_disks,
    },
    Rule {
        id: "console",
        severity: Warning,
        needs: Files,
        why: "nobody sees what it does, or why it does not come up",
        fix: Some(Fix { does: "adds it to the command line", how: How::Words(cmdline::add_consoles) }),
        find: cmdline::console,
    },
    Rule {
        id: "getty",
        severity: Error,
        needs: Files,
        why: "it comes up, but nobody can log in on a requested console",
        fix: Some(Fix { does: "removes masks and starts a getty there", how: How::Files(getty::unmask) }),
        find: getty::none,
    },
    Rule {
        id: "reachable",
        severity: Warning,
        needs: Files,
        why: "nobody can log in over the network",
        fix: None,
        find: access::unreachable,
    },
    Rule {
        id: "login",
        severity: Warning,
        needs: Files,
        why: "nobody can log in at all",
        fix: None,
        find: access::locked,
    },
    Rule {
        id: "machine-id",
        severity: Warning,
        needs: FreshFiles,
        why: "every machine with this image would have the same identity, for DHCP and for the journal",
        fix: Some(Fix { does: "empties it", how: How::Files(machine_id::empty_machine_id) }),
        find: machine_id::machine_id,
    },
    Rule {
        id: "ssh-host-keys",
        severity: Warning,
        needs: FreshFiles,
        why: "every machine with this image could pass for any other",
        fix: Some(Fix {
            does: "removes them; the first boot makes new ones",
            how: How::Files(machine_id::remove_host_keys),
        }),
        find: machine_id::host_keys,
    },
];

/// Returns the rule with this id, or a usage error that lists all ids.
pub fn named(id: &str) -> Result<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id).ok_or_else(|| {
        let all: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        usage(format!("there is no rule '{}'", id.escape_debug()), format!("the rules are: {}", all.join(" ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_own_name_in_plain_words() {
        let mut ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        assert!(ids.iter().all(|id| id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')), "{ids:?}");
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), RULES.len());
    }
}
