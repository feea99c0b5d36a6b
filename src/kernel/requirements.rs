//! Lists what an image needs to boot, and suggests Dockerfile lines that install what is missing.

use crate::kernel::release::Release;
use crate::root::tree::Tree;

/// Install command and package names of a family of distributions.
struct Family {
    /// Beginnings of `ID` or `ID_LIKE` in os-release.
    ids: &'static [&'static str],
    install: &'static str,
    kernel: &'static str,
    init: &'static str,
    dracut: &'static str,
}

const FAMILIES: [Family; 3] = [
    Family {
        ids: &["debian", "ubuntu"],
        install: "apt-get update && apt-get install -y",
        kernel: "linux-image-amd64",
        init: "systemd-sysv",
        dracut: "dracut",
    },
    Family {
        ids: &["fedora", "rhel", "centos"],
        install: "dnf install -y",
        kernel: "kernel",
        init: "systemd",
        dracut: "dracut",
    },
    Family {
        ids: &["suse", "opensuse", "sles"],
        install: "zypper --non-interactive install",
        kernel: "kernel-default",
        init: "systemd",
        dracut: "dracut",
    },
];

/// Name of Ubuntu's kernel package, which differs from Debian's.
const UBUNTU_KERNEL: &str = "linux-image-generic";

/// Missing parts of an image that its distribution has packages for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Missing {
    /// True if there is no kernel.
    pub kernel: bool,
    /// True if there is no `/sbin/init`.
    pub init: bool,
    /// True if there is no dracut.
    pub dracut: bool,
}

/// Returns true if the image has dracut, and so can make its own initramfs.
pub fn has_dracut(tree: &dyn Tree) -> bool {
    tree.has_program("usr/bin/dracut") || tree.has_program("usr/sbin/dracut")
}

impl Missing {
    /// Returns the Dockerfile line that installs the missing parts; `None` if nothing is missing.
    pub fn dockerfile(&self, release: &Release) -> Option<String> {
        (*self != Missing::default()).then(|| dockerfile(release, self))
    }
}

/// Makes the `RUN` line for the image's own family, or one for each family if its own is not known.
fn dockerfile(release: &Release, missing: &Missing) -> String {
    let known = FAMILIES
        .iter()
        .find(|family| release.families.iter().any(|id| family.ids.iter().any(|known| id.starts_with(known))));
    let is_ubuntu = release.families.first().is_some_and(|id| id == "ubuntu");
    let line = |family: &Family| {
        let kernel = if is_ubuntu { UBUNTU_KERNEL } else { family.kernel };
        let packages = [(missing.kernel, kernel), (missing.init, family.init), (missing.dracut, family.dracut)];
        let packages: Vec<&str> = packages.into_iter().filter(|(missing, _)| *missing).map(|(_, name)| name).collect();
        format!("    RUN {} {}", family.install, packages.join(" "))
    };
    match known {
        Some(family) => line(family),
        None => FAMILIES
            .iter()
            .map(|family| format!("{}   # {}", line(family), family.ids.join(", ")))
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::release::parse;

    fn hint_for(os_release: &str) -> String {
        Missing { kernel: true, init: true, dracut: true }.dockerfile(&parse(os_release)).unwrap()
    }

    #[test]
    fn the_hint_is_a_line_of_the_images_own_family() {
        assert!(
            hint_for("ID=debian")
                .ends_with("RUN apt-get update && apt-get install -y linux-image-amd64 systemd-sysv dracut")
        );
        assert!(hint_for("ID=ubuntu\nID_LIKE=debian").contains("linux-image-generic"));
        assert!(hint_for("ID=rocky\nID_LIKE=\"rhel fedora\"").ends_with("RUN dnf install -y kernel systemd dracut"));
        assert!(
            hint_for("ID=opensuse-tumbleweed\nID_LIKE=\"suse opensuse\"")
                .contains("zypper --non-interactive install kernel-default")
        );
        assert_eq!(hint_for("ID=plan9").lines().count(), 3);
        assert_eq!(Missing::default().dockerfile(&parse("ID=debian")), None);
    }
}
