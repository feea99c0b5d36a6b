//! What an image must hold to boot, and the line that adds it to a Dockerfile.

use crate::boot::release::Release;
use crate::filesystem::Tree;

/// How a family of distributions installs what is missing.
struct Family {
    /// `ID` or `ID_LIKE` of os-release.
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

/// Ubuntu calls its kernel otherwise than Debian does.
const UBUNTU_KERNEL: &str = "linux-image-generic";

/// What an image lacks that its distribution has packages for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Missing {
    /// A kernel.
    pub kernel: bool,
    /// `/sbin/init`.
    pub init: bool,
    /// dracut.
    pub dracut: bool,
}

/// Whether the image can make its own initramfs.
pub fn has_dracut(tree: &dyn Tree) -> bool {
    tree.has_program("usr/bin/dracut") || tree.has_program("usr/sbin/dracut")
}

impl Missing {
    /// The line of a Dockerfile that adds it; `None` if nothing is missing.
    pub fn dockerfile(&self, release: &Release) -> Option<String> {
        (*self != Missing::default()).then(|| dockerfile(release, self))
    }
}

/// The `RUN` line for the image's own family, or for each family if it is of none.
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
    use crate::boot::release::parse;

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
            hint_for("ID=opensuse-leap\nID_LIKE=\"suse opensuse\"")
                .contains("zypper --non-interactive install kernel-default")
        );
        assert_eq!(hint_for("ID=plan9").lines().count(), 3);
        assert_eq!(Missing::default().dockerfile(&parse("ID=debian")), None);
    }
}
