//! Facts about the machine itself, from sysfs.

use crate::hardware::Sysfs;
use crate::hardware::inventory::Firmware;
use crate::hardware::sysfs::{names, text};

impl Sysfs {
    /// Returns the name that the machine reports by DMI, else by its device tree.
    pub(super) fn machine(&self) -> String {
        let dmi = ["sys_vendor", "product_name"].map(|name| text(&self.path("class/dmi/id").join(name)));
        let dmi = dmi.into_iter().flatten().collect::<Vec<_>>().join(" ");
        match (dmi.as_str(), text(&self.path("firmware/devicetree/base/model"))) {
            ("", None) => "unknown machine".to_owned(),
            ("", Some(model)) => model,
            _ => dmi,
        }
    }

    /// Returns the firmware that started the machine. A BIOS always brings DMI; a microVM that starts a kernel
    /// itself has neither.
    pub(super) fn firmware(&self) -> Option<Firmware> {
        match (self.path("firmware/efi").exists(), self.path("class/dmi/id").exists()) {
            (true, _) => Some(Firmware::Uefi),
            (false, true) => Some(Firmware::Bios),
            (false, false) => None,
        }
    }

    /// Lists the consoles that the kernel logs to, except screens; the last one is init's (kernel:
    /// ABI/testing/sysfs-tty).
    pub(super) fn consoles(&self) -> Vec<String> {
        let active = text(&self.path("class/tty/console/active")).unwrap_or_default();
        let screen = |name: &str| {
            name.strip_prefix("tty").is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let mut consoles: Vec<String> = Vec::new();
        for name in active.split_whitespace().filter(|name| !screen(name)) {
            if !consoles.iter().any(|known| known == name) {
                consoles.push(name.to_owned());
            }
        }
        consoles
    }

    /// Lists the hardware watchdogs by the identity that they report, each once.
    pub(super) fn watchdogs(&self) -> Vec<String> {
        let class = self.path("class/watchdog");
        let mut watchdogs: Vec<String> = Vec::new();
        for identity in names(&class).iter().filter_map(|name| text(&class.join(name).join("identity"))) {
            if !watchdogs.contains(&identity) {
                watchdogs.push(identity);
            }
        }
        watchdogs
    }

    /// Returns true if the kernel was built with kexec: only then does it have this attribute
    /// (kernel/ksysfs.c).
    pub(super) fn has_kexec(&self) -> bool {
        self.path("kernel/kexec_loaded").exists()
    }
}
