//! Reads modprobe.d(5) of a slot: parameters of modules, and modules that are not loaded for a device.

use crate::error::Result;
use crate::root::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};

/// Folders of these files, best first: a file hides those of the same name in the others.
const FOLDERS: [&str; 4] = ["etc/modprobe.d", "usr/local/lib/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d"];
/// Largest file in bytes, as much as is kept of an image; the longest in Debian 13 has 12 kB.
const LONGEST: u64 = 64 << 10;
/// Programs with which an `install` line keeps a module from being loaded. Others cannot be run in the initramfs.
const NOTHING: [&str; 4] = ["/bin/true", "/bin/false", "/usr/bin/true", "/usr/bin/false"];

/// The settings of a slot.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Parameters, by module.
    pub options: BTreeMap<String, String>,
    /// Modules that are not loaded for a device.
    pub blacklist: BTreeSet<String>,
}

impl Settings {
    /// Reads the settings of a slot.
    pub fn read(tree: &dyn Tree) -> Result<Settings> {
        let mut files = BTreeMap::new();
        for folder in FOLDERS {
            for name in tree.list(folder)?.into_iter().filter(|name| name.ends_with(".conf")) {
                files.entry(name.clone()).or_insert_with(|| format!("{folder}/{name}"));
            }
        }
        let mut settings = Settings::default();
        for path in files.values() {
            // A link to /dev/null hides a file.
            if tree.has_file(path) {
                settings.add(&tree.read(path, LONGEST)?.unwrap_or_default());
            }
        }
        Ok(settings)
    }

    fn add(&mut self, text: &str) {
        for line in text.replace("\\\n", " ").lines() {
            let mut words = line.split_whitespace();
            let (Some(command), Some(module)) = (words.next(), words.next()) else { continue };
            let module = module.replace('-', "_");
            let rest = words.collect::<Vec<_>>().join(" ");
            match command {
                "options" => {
                    let options = self.options.entry(module).or_default();
                    *options = format!("{options} {rest}").trim().to_owned();
                }
                "blacklist" => drop(self.blacklist.insert(module)),
                "install" if NOTHING.contains(&rest.split(' ').next().unwrap_or_default()) => {
                    self.blacklist.insert(module);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::mounted::directory::Root;
    use std::fs;

    #[test]
    fn parameters_and_forbidden_modules_are_read_and_a_file_hides_another() {
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put(
            "etc/modprobe.d/a.conf",
            "# x\noptions mlx5-core a=1 \\\n b=2\noptions mlx5_core c=\"d e\"\ninstall usb-storage /bin/false\n",
        );
        put("usr/lib/modprobe.d/a.conf", "blacklist hidden\n");
        put("usr/lib/modprobe.d/b.conf", "blacklist evbug\nalias x y\ninstall z /sbin/modprobe --ignore-install z\n");
        put("usr/lib/modprobe.d/README", "blacklist not_read\n");
        let settings = Settings::read(&Root::open(folder.path()).unwrap()).unwrap();
        assert_eq!(settings.options["mlx5_core"], "a=1 b=2 c=\"d e\"");
        assert_eq!(settings.blacklist.iter().collect::<Vec<_>>(), ["evbug", "usb_storage"]);
    }
}
