//! What an image must hold to boot, and the line that adds it to a Dockerfile.

use crate::boot::kernel::{self, Kernel};
use crate::boot::release::Release;
use crate::error::{Result, failed};
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

/// The kernels of the image, if it also has an init and dracut; else an error that says what is
/// missing and which line of a Dockerfile adds it.
pub fn check(root: &dyn Tree, release: &Release) -> Result<Vec<Kernel>> {
    let kernels = kernel::find(root)?;
    let has_init = root.has_program("sbin/init");
    let has_dracut = root.has_program("usr/bin/dracut") || root.has_program("usr/sbin/dracut");
    let missing = Missing { kernel: kernels.is_empty(), init: !has_init, dracut: !has_dracut };
    if missing.found().is_empty() {
        return Ok(kernels);
    }
    let found = format!("the image ({}) cannot boot: it has {}", release.title(), missing.found().join(", "));
    Err(failed(found, format!("add to its Dockerfile:\n{}", dockerfile(release, &missing))))
}

struct Missing {
    kernel: bool,
    init: bool,
    dracut: bool,
}

impl Missing {
    fn found(&self) -> Vec<&'static str> {
        let all = [
            (
                self.kernel,
                "no kernel (/boot/vmlinuz-*, /usr/lib/modules/*/vmlinuz, /boot/<machine-id>/<version>/linux)",
            ),
            (self.init, "no init (/sbin/init)"),
            (self.dracut, "no dracut (/usr/bin/dracut)"),
        ];
        all.into_iter().filter(|(missing, _)| *missing).map(|(_, what)| what).collect()
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
    use crate::filesystem::Root;

    fn hint_for(os_release: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let error = check(&root, &parse(os_release)).unwrap_err();
        assert!(format!("{error:#}").contains("no kernel"), "{error:#}");
        crate::error::hint(&error).unwrap().to_owned()
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
        assert_eq!(hint_for("ID=plan9").lines().count(), 4);
    }
}
