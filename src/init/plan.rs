//! The plan of an initramfs: what was known when it was made, so that nothing is searched for at boot.

use serde::{Deserialize, Serialize};

/// Path of the plan in the initramfs.
pub const PATH: &str = "/flipslot.json";
/// Version of the plan's form: an init refuses a plan of another one.
pub const VERSION: u32 = 1;

/// The plan of an initramfs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// Version of this form: 1.
    pub version: u32,
    /// Version of the kernel that it is for, as in `uname -r`.
    pub kernel: String,
    /// Modules that it holds, sorted by name.
    pub modules: Vec<Module>,
    /// Modules that are loaded whatever hardware is found: the root filesystem's, and drivers without aliases.
    pub always: Vec<String>,
    /// Modules that the slot's modprobe.d(5) keeps from being loaded for a device.
    pub blacklist: Vec<String>,
    /// Time in seconds since 1970 before which no clock is right: 0 if certificates are not judged by it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub made: u64,
    /// Digest of the image whose layer this initramfs holds; `None` where it is not known, or there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_of: Option<String>,
    /// Actions, in order.
    pub steps: Vec<Step>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A module of the initramfs. Names are written with `_`, as the kernel writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Module {
    /// Name of the module.
    pub name: String,
    /// Absolute path of its uncompressed file in the initramfs.
    pub path: String,
    /// Names of the modules that are loaded before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Patterns of the devices that it drives (modules.alias), with `_` for `-`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Parameters from the slot's modprobe.d(5).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub options: String,
}

/// An action of the init.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "step")]
pub enum Step {
    /// Mount the root that the command line names, and wait for its device.
    MountRoot,
    /// Execute the init of the root in place of this one.
    Start,
    /// Execute the init of a second initramfs in place of this one, with the root mounted in it.
    StartSecondStage {
        /// Path of its image in the root.
        image: String,
        /// Name of the filesystem in that image: `erofs` or `squashfs`.
        filesystem: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let module = |name: &str, needs: &[&str]| Module {
            name: name.to_owned(),
            path: format!("/usr/lib/modules/6.1.0/kernel/{name}.ko"),
            needs: needs.iter().map(ToString::to_string).collect(),
            aliases: Vec::new(),
            options: String::new(),
        };
        let plan = Plan {
            version: VERSION,
            kernel: "6.1.0".to_owned(),
            modules: vec![module("jbd2", &[]), module("ext4", &["jbd2"])],
            always: vec!["ext4".to_owned()],
            blacklist: Vec::new(),
            made: 7,
            layer_of: Some("ab".to_owned()),
            steps: vec![Step::MountRoot, Step::Start],
        };
        let text = serde_json::to_string(&plan).unwrap();
        assert!(text.contains(r#"{"step":"mount-root"}"#), "{text}");
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }
}
