//! Faults of a system that is up: nobody sees it, nobody gets in, or it says that it is another one.

use crate::check::case::{Case, all_must_be_found_alone, check, write};
use crate::check::sound;
use crate::support::tar::{Item, file, symlink, whiteout};
use serde_json::json;

const CHOICES: &str = "etc/systemd/system";
const UNITS: &str = "usr/lib/systemd/system";
const GENERATOR: &str = "systemd/system-generators/systemd-getty-generator";

/// A layer that changes nothing: the fault is in the words.
const NONE: [Item; 0] = [];

fn masked(names: &[&str]) -> Vec<Item> {
    names.iter().map(|name| symlink(format!("{CHOICES}/{name}"), "/dev/null")).collect()
}

fn disabled(target: &str, unit: &str) -> Item {
    whiteout(&format!("{CHOICES}/{target}.target.wants/{unit}.service"))
}

pub fn cases() -> Vec<Case> {
    let getty = |what, layer: Vec<Item>, says| Case::new("getty", what, layer, says);
    let none = disabled("getty", "getty@tty1");
    let mut cases = vec![
        getty("the target is masked", masked(&["getty.target"]), "getty.target, which starts every getty, is masked"),
        getty(
            "both templates are masked",
            masked(&["getty@.service", "serial-getty@.service"]),
            "getty@.service is masked",
        ),
        getty("both are masked by name", masked(&["getty@tty1.service", "serial-getty@ttyS0.service"]), "is masked"),
        getty(
            "nothing starts one",
            vec![none.clone(), whiteout(&format!("usr/lib/{GENERATOR}"))],
            "but nothing starts it",
        ),
        getty(
            "the generator is masked",
            vec![none.clone(), symlink(format!("etc/{GENERATOR}"), "/dev/null")],
            "but nothing starts it",
        ),
        getty(
            "there is none",
            ["getty@", "serial-getty@"].map(|name| whiteout(&format!("{UNITS}/{name}.service"))).into(),
            "there is no serial-getty@ttyS0.service",
        ),
        getty("no agetty", vec![whiteout("usr/sbin/agetty")], "starts /sbin/agetty, which is not there"),
        getty("no login", vec![whiteout("usr/bin/login")], "there is no /bin/login"),
        Case::new("console", "another one", NONE, "the machine's console is ttyS1, and no console= names it")
            .machine(|machine| machine["consoles"] = json!(["ttyS1"])),
    ];
    let (network, ssh) = (disabled("multi-user", "systemd-networkd"), disabled("multi-user", "ssh"));
    let reachable = |what, layer: Vec<Item>, says| Case::new("reachable", what, layer, says);
    cases.extend([
        reachable("no network", vec![network.clone()], "no network service is enabled"),
        reachable("no ssh", vec![ssh.clone()], "no ssh server is enabled"),
        reachable("neither", vec![network, ssh], "neither a network service nor an ssh server"),
        reachable("ssh is masked", masked(&["ssh.service"]), "no ssh server is enabled"),
    ]);
    cases.extend(identity_cases());
    cases
}

fn identity_cases() -> Vec<Case> {
    let login = |what, text: &str| Case::new("login", what, [file("etc/shadow", text)], "root is locked");
    let keys = ["rsa_key", "rsa_key.pub", "ed25519_key"].map(|name| file(format!("etc/ssh/ssh_host_{name}"), "key"));
    vec![
        login("locked", "root:!:19000::::::\n"),
        login("never had one", "root:*:19000::::::\ndaemon:*:19000::::::\n"),
        login("its password was locked", "root:!$y$hash:19000::::::\n"),
        login("nobody at all", ""),
        Case::new(
            "login",
            "no table",
            ["shadow", "passwd"].map(|name| whiteout(&format!("etc/{name}"))),
            "root is locked",
        ),
        Case::new("machine-id", "one", [file("etc/machine-id", "0123456789abcdef0123456789abcdef\n")], "is not empty"),
        Case::new("ssh-host-keys", "two", keys, "ssh_host_ed25519_key ssh_host_rsa_key"),
    ]
}

#[test]
fn f9_f12_a_system_that_nobody_gets_into_or_that_is_another_one_is_found_and_nothing_else() {
    all_must_be_found_alone(cases());
}

#[test]
fn one_way_in_is_enough() {
    let locked = file("etc/shadow", "root:!:19000::::::\n");
    let folder = tempfile::tempdir().unwrap();
    for (what, layer) in [
        ("another user's password", vec![file("etc/shadow", "root:!:1::::::\nme:$y$hash:1::::::\n")]),
        ("an empty password", vec![file("etc/shadow", "root::1::::::\n")]),
        ("root's key", vec![locked.clone(), file("root/.ssh/authorized_keys", "ssh-ed25519 AAAA\n")]),
        ("a user's key", vec![locked.clone(), file("home/me/.ssh/authorized_keys", "ssh-ed25519 AAAA\n")]),
        (
            "what the first boot is told",
            vec![
                locked,
                symlink(
                    "etc/systemd/system/multi-user.target.wants/cloud-init.service",
                    "/lib/systemd/system/cloud-init.service",
                ),
            ],
        ),
        ("a getty where it was asked for", masked(&["getty@tty1.service"])),
        ("a machine-id that is made later", vec![file("etc/machine-id", "uninitialized\n")]),
        ("no machine-id", vec![whiteout("etc/machine-id")]),
    ] {
        write(folder.path(), &[layer], &sound::machine());
        let run = check(folder.path(), &["--console=ttyS0"]);
        assert_eq!(run.code, 0, "{what}: {}{}", run.stdout, run.stderr);
    }
}
