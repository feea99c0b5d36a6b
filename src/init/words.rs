//! Words of the kernel's command line for the initramfs: each is done, or said not to be.

use crate::words::host_name::is_host_name;
use crate::words::kernel_line::{
    self, AUTH_KEY, BOOT_KEY, DEADLINE, DEADLINE_KEY, HOST_KEY, KEYS_KEY, PROVEN, REALMS_KEY, VERITY_KEY,
};
use std::time::Duration;

/// Words of other programs that an initramfs of this kind needs nothing for, although they look like its own.
const OF_OTHERS: [&str; 7] = [
    "flipslot.run=",
    "flipslot.slot=",
    "flipslot.boot=",
    "flipslot.deadline=",
    "flipslot.confirm=",
    "rd.systemd.",
    "rd.udev.",
];
/// Words that other initramfs have, for which there is nothing to do here.
const NEEDLESS: [&str; 6] = ["rd.retry=", "rd.emergency=", "rd.info", "rd.hostonly", "rd.neednet=0", "rd.md=0"];
/// Words that turn a kind of root off that is not there anyway.
const OFF: [&str; 4] = ["rd.lvm=0", "rd.luks=0", "rd.dm=0", "rd.multipath=0"];

/// Requests of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// `root=`: the root's device, as it was written.
    pub root: String,
    /// `rootfstype=`: filesystems to try, in order; empty for the one that is found.
    pub filesystems: Vec<String>,
    /// `rootflags=`: options of the mount.
    pub options: String,
    /// `rw`: mount the root for writing. The last of `ro` and `rw` counts; without either it is read-only, as the
    /// kernel mounts it.
    pub writable: bool,
    /// `init=`: path of the program to start; `None` for the usual ones.
    pub init: Option<String>,
    /// `rd.break`: where to stop and ask.
    pub stop: Option<Stop>,
    /// `rd.debug`: say each step.
    pub debug: bool,
    /// `rd.shell`, `rd.shell=1`: ask at the console if something fails.
    pub asks: bool,
    /// `rd.timeout=`: time after which a missing root is an error; `None` waits as long as it takes.
    pub patience: Option<Duration>,
    /// `rd.driver.pre=`: modules to load before any device is looked for.
    pub first: Vec<String>,
    /// `modprobe.blacklist=`, `rd.driver.blacklist=`: modules that are not loaded for a device.
    pub blacklist: Vec<String>,
    /// `module_blacklist=`: modules that the kernel does not load at all.
    pub banned: Vec<String>,
    /// `MODULE.PARAMETER=VALUE`: parameters of modules.
    pub parameters: Vec<(String, String)>,
    /// `flipslot.format=`: format of the image that `root=flipslot:` names; `None` for the one that it says.
    pub format: Option<String>,
    /// `flipslot.overlay=`: the place of what is written over such an image.
    pub overlay: Overlay,
    /// `flipslot.slot=`: name of the slot.
    pub slot: Option<String>,
    /// `flipslot.host=`: name of the machine.
    pub host: Option<String>,
    /// `flipslot.net=`: network by which the image comes.
    pub net: Option<String>,
    /// `flipslot.plain-http=`: registries, with their port, to reach without TLS.
    pub plain_http: Vec<String>,
    /// `flipslot.zram=`: size of a zram device to swap to, before compression, as the kernel reads a size.
    pub zram: Option<String>,
    /// `flipslot.auth-realm=`: hosts of token services to which that login may be sent.
    pub realms: Vec<String>,
    /// `flipslot.verity=`: hash to which the tree beside an image on a partition leads, in hexadecimal.
    pub verity: Option<String>,
    /// `flipslot.auth=`: file with the login of this machine at the registry of its image, as `DEVICE/PATH`.
    pub auth: Option<String>,
    /// `flipslot.key=`: names of keys in the initramfs, one of which must have signed an image that a tag names.
    pub keys: Vec<String>,
    /// `flipslot.host-layer=`: layers of this host, as `root=flipslot:` names an image, the lowest first.
    pub host_layers: Vec<String>,
    /// `flipslot.kexec=no`: never start the kernel of the image in place of the running one.
    pub stays: bool,
    /// `BOOTIF=`: network card that the boot loader used.
    pub booted_by: Option<String>,
    /// Set on a trial, with the seconds after the kernel's start at which it ends.
    pub deadline: Option<u64>,
    /// Sentences about words that this initramfs does not act on, for the kernel's log.
    pub objections: Vec<String>,
}

/// The place of what is written over an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overlay {
    /// `ram`, `ram:SIZE`: memory, of this size, over all of it.
    Ram(Option<String>),
    /// `none`: memory, over `/etc` and `/var` alone.
    Nothing,
    /// `data:DEVICE`: a folder on this device, named as `root=` names one.
    Data(String),
    /// A word that is not known.
    Other(String),
}

impl Overlay {
    fn read(word: Option<&str>) -> Overlay {
        let is_size = |size: &str| {
            let digits = size.trim_end_matches(['k', 'K', 'm', 'M', 'g', 'G', '%']);
            size.len() - digits.len() <= 1 && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        match word {
            None | Some("ram") => Overlay::Ram(None),
            Some("none") => Overlay::Nothing,
            Some(other) => match (other.strip_prefix("ram:").filter(|size| is_size(size)), other.strip_prefix("data:"))
            {
                (Some(size), _) => Overlay::Ram(Some(size.to_owned())),
                (None, Some(device)) => Overlay::Data(device.to_owned()),
                (None, None) => Overlay::Other(other.to_owned()),
            },
        }
    }
}

/// Places at which `rd.break` stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Before the root is waited for.
    BeforeMount,
    /// With the root mounted, before its init is started.
    BeforeStart,
}

impl Words {
    /// Reads a command line.
    pub fn read(line: &str) -> Words {
        let words = kernel_line::words(line);
        let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
        let words = &words[..end];
        let last = |key: &str| kernel_line::last(words, key);
        let is_trial = last(BOOT_KEY).is_some_and(|by| by != PROVEN);
        let deadline = || last(DEADLINE_KEY).and_then(kernel_line::seconds).unwrap_or(DEADLINE);
        let is_break = |word: &&String| word.as_str() == "rd.break" || word.starts_with("rd.break=");
        Words {
            root: last("root=").unwrap_or_default().to_owned(),
            filesystems: listed(last("rootfstype=").filter(|kind| *kind != "auto")),
            options: last("rootflags=").unwrap_or_default().to_owned(),
            writable: words
                .iter()
                .rev()
                .find(|word| ["ro", "rw"].contains(&word.as_str()))
                .is_some_and(|word| word == "rw"),
            init: last("init=").filter(|path| !path.is_empty()).map(str::to_owned),
            stop: words.iter().rev().find(is_break).map(|word| stop(word)),
            debug: words.iter().any(|word| ["rd.debug", "rd.debug=1", "rdinitdebug"].contains(&word.as_str())),
            asks: words.iter().rev().find(|word| word.starts_with("rd.shell")).is_some_and(|word| word != "rd.shell=0"),
            patience: last("rd.timeout=")
                .and_then(kernel_line::seconds)
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            first: words
                .iter()
                .filter_map(|word| word.strip_prefix("rd.driver.pre="))
                .flat_map(|list| listed(Some(list)))
                .map(|name| underscored(&name))
                .collect(),
            blacklist: modules_of(words, &["modprobe.blacklist=", "rd.driver.blacklist="]),
            banned: modules_of(words, &["module_blacklist="]),
            parameters: words.iter().filter_map(|word| parameter(word)).collect(),
            format: last("flipslot.format=").filter(|format| !format.is_empty()).map(str::to_owned),
            overlay: Overlay::read(last("flipslot.overlay=")),
            slot: last("flipslot.slot=").filter(|slot| is_host_name(slot)).map(str::to_owned),
            host: last(HOST_KEY).filter(|host| is_host_name(host)).map(str::to_owned),
            net: last("flipslot.net=").map(str::to_owned),
            plain_http: listed(last("flipslot.plain-http=")),
            zram: last("flipslot.zram=").filter(|size| !size.is_empty()).map(str::to_owned),
            realms: listed(last(REALMS_KEY)),
            verity: last(VERITY_KEY).filter(|hash| !hash.is_empty()).map(str::to_owned),
            auth: last(AUTH_KEY).filter(|place| !place.is_empty()).map(str::to_owned),
            keys: listed(last(KEYS_KEY)).into_iter().filter(|name| is_host_name(name)).collect(),
            host_layers: listed(last("flipslot.host-layer=")),
            stays: last("flipslot.kexec=") == Some("no"),
            booted_by: last("BOOTIF=").map(str::to_owned),
            deadline: is_trial.then(deadline),
            objections: words.iter().filter_map(|word| objection(word)).collect(),
        }
    }

    /// Returns the parameters of a module from the command line, as the kernel takes them when it is loaded.
    pub fn parameters_of(&self, module: &str) -> String {
        let own = self.parameters.iter().filter(|(name, _)| name == module).map(|(_, rest)| quoted(rest));
        own.collect::<Vec<_>>().join(" ")
    }
}

/// Returns a name of a module as the kernel writes it.
pub fn underscored(name: &str) -> String {
    name.replace('-', "_")
}

/// Puts a value with spaces in quotes again (kernel: lib/cmdline.c, next_arg).
fn quoted(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((key, value)) if value.contains(char::is_whitespace) => format!("{key}=\"{value}\""),
        _ => parameter.to_owned(),
    }
}

fn listed(text: Option<&str>) -> Vec<String> {
    text.unwrap_or_default().split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

fn stop(word: &str) -> Stop {
    // The names are dracut's, whose other places all come before the root is mounted (dracut.cmdline(7)).
    match word.strip_prefix("rd.break=") {
        None | Some("pre-pivot" | "cleanup" | "mount") => Stop::BeforeStart,
        Some(_) => Stop::BeforeMount,
    }
}

/// Returns the modules that words with these keys list.
fn modules_of(words: &[String], keys: &[&str]) -> Vec<String> {
    let lists = words.iter().filter_map(|word| keys.iter().find_map(|key| word.strip_prefix(key)));
    lists.flat_map(|list| listed(Some(list))).map(|name| underscored(&name)).collect()
}

/// Splits `MODULE.PARAMETER=VALUE`; `None` for a word of another kind.
fn parameter(word: &str) -> Option<(String, String)> {
    let key = word.split('=').next().unwrap_or_default();
    let (module, rest) = word.split_once('.').filter(|_| key.contains('.'))?;
    let is_ours = ["rd", "flipslot", "systemd", "modprobe", "vconsole", "locale", "udev"].contains(&module);
    (!is_ours && !rest.is_empty()).then(|| (underscored(module), rest.to_owned()))
}

/// Returns what to say about a word for an initramfs that this one does not do; `None` for all others.
fn objection(word: &str) -> Option<String> {
    const HANDLED: [&str; 18] = [
        "rd.break",
        "rd.debug",
        "rd.shell",
        "rd.timeout=",
        "rd.driver.pre=",
        "rd.driver.blacklist=",
        "flipslot.format=",
        "flipslot.overlay=",
        HOST_KEY,
        "flipslot.net=",
        "flipslot.plain-http=",
        "flipslot.zram=",
        "flipslot.host-layer=",
        KEYS_KEY,
        AUTH_KEY,
        REALMS_KEY,
        VERITY_KEY,
        "flipslot.kexec=",
    ];
    if let Some(device) = word.strip_prefix("resume=") {
        return Some(format!(
            "resume={device} is refused: a system that slept knows nothing of what was written to the slots since"
        ));
    }
    let is_for_us = word.starts_with("rd.") || word.starts_with("flipslot.");
    let known =
        HANDLED.iter().chain(&OF_OTHERS).chain(&NEEDLESS).any(|known| word.starts_with(known)) || OFF.contains(&word);
    (is_for_us && !known).then(|| format!("{word} is not known to this initramfs, and does nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read_and_the_last_word_counts() {
        let words = Words::read(
            "root=UUID=a root=PARTUUID=b rootfstype=ext4,xfs rootflags=data=journal ro rw init=/bin/sh rd.timeout=7 -- init=/x\n",
        );
        assert_eq!((words.root.as_str(), words.options.as_str(), words.writable), ("PARTUUID=b", "data=journal", true));
        assert_eq!(words.filesystems, ["ext4", "xfs"]);
        assert_eq!(words.init.as_deref(), Some("/bin/sh"));
        assert_eq!(words.patience, Some(Duration::from_secs(7)));
        assert!(!Words::read("root=/dev/vda1").writable, "as the kernel does without either");
        assert_eq!(Words::read("rd.timeout=0").patience, None, "dracut.cmdline(7): 0 waits for ever");
    }

    #[test]
    fn modules_are_forbidden_named_and_set_by_words() {
        let words = Words::read(
            "modprobe.blacklist=a-b,c rd.driver.blacklist=d rd.driver.pre=loop,nbd ahci.mobile_lpm_policy=1 dm_mod.create=\"x y\" quiet",
        );
        assert_eq!(words.blacklist, ["a_b", "c", "d"]);
        assert_eq!(Words::read("module_blacklist=x-y").banned, ["x_y"]);
        assert_eq!(words.first, ["loop", "nbd"]);
        assert_eq!(words.parameters_of("ahci"), "mobile_lpm_policy=1");
        assert_eq!(words.parameters_of("dm_mod"), "create=\"x y\"");
        assert_eq!(words.parameters_of("nvme"), "");
    }

    #[test]
    fn a_trial_is_known_by_its_words_and_has_the_default_deadline_without_one() {
        assert_eq!(Words::read("flipslot.boot=kexec flipslot.deadline=90").deadline, Some(90));
        assert_eq!(Words::read("flipslot.boot=firmware").deadline, Some(DEADLINE));
        assert_eq!(Words::read("flipslot.boot=firmware flipslot.deadline=soon").deadline, Some(DEADLINE));
        assert_eq!(Words::read("flipslot.boot=proven flipslot.deadline=90").deadline, None);
        assert_eq!(Words::read("quiet").deadline, None);
    }

    #[test]
    fn what_is_written_over_an_image_has_its_place() {
        assert_eq!(Words::read("").overlay, Overlay::Ram(None));
        assert_eq!(Words::read("flipslot.overlay=ram:512M").overlay, Overlay::Ram(Some("512M".to_owned())));
        assert_eq!(Words::read("flipslot.overlay=none").overlay, Overlay::Nothing);
        for odd in ["data", "ram:", "ram:1G,uid=0", "ram:G"] {
            assert_eq!(Words::read(&format!("flipslot.overlay={odd}")).overlay, Overlay::Other(odd.to_owned()));
        }
        assert_eq!(Words::read("flipslot.format=erofs").format.as_deref(), Some("erofs"));
    }

    #[test]
    fn it_stops_and_asks_where_it_is_told_to() {
        assert_eq!(Words::read("rd.break").stop, Some(Stop::BeforeStart));
        assert_eq!(Words::read("rd.break=pre-mount").stop, Some(Stop::BeforeMount));
        assert_eq!(Words::read("quiet").stop, None);
        assert!(Words::read("rd.shell").asks && !Words::read("rd.shell rd.shell=0").asks && !Words::read("").asks);
    }

    #[test]
    fn a_word_that_is_not_done_is_said() {
        let said = Words::read(
            "rd.luks.uuid=x resume=/dev/sda2 rd.lvm=0 rd.retry=3 rd.debug flipslot.slot=a quiet flipslot.keys=x",
        )
        .objections;
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[0].contains("rd.luks.uuid=x is not known") && said[1].contains("resume=/dev/sda2 is refused"));
        assert!(said[2].contains("flipslot.keys=x"));
    }
}
