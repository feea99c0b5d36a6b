//! registries.conf(5): mirrors, blocked registries, short names; and the cache of what registries sent.

use crate::cli::images;
use crate::support::program::{Run, command, ended};
use crate::support::registry::{Fault, Registry};
use std::fs;
use std::path::Path;

/// The error of an image that was fetched whole, and has no kernel.
const FETCHED: [&str; 1] = ["it has no kernel"];
/// A host of documentation (RFC 5737), where nobody answers.
const NOBODY: &str = "192.0.2.1:5000";

/// Runs `create` from a reference, with the text of registries.conf.
fn create(folder: &Path, conf: &str, reference: &str, more: &[&str]) -> Run {
    let path = folder.join("registries.conf");
    fs::write(&path, conf).unwrap();
    let slot = format!("--slot=a={reference}");
    let mut create = command(folder, &["create", "d.raw", "--size=600MiB", "--progress=none", &slot]);
    ended(create.args(more).env("CONTAINERS_REGISTRIES_CONF", path))
}

fn registry(folder: &Path) -> Registry {
    images::no_kernel().write(&folder.join("image"), "1");
    Registry::start(&folder.join("image"), Fault::None)
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_itself_where_no_mirror_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(folder.path());
    let address = &registry.address;
    let conf = format!(
        "[[registry]]\nprefix = '{NOBODY}/os'\nlocation = '{NOBODY}/os'\n[[registry.mirror]]\nlocation = '{address}/m'\n"
    );
    create(folder.path(), &conf, &format!("docker://{NOBODY}/os/debian:12"), &["--no-cache"]).must_end(1, &FETCHED);
    assert!(registry.requests.lock().unwrap().iter().any(|request| request.starts_with("/v2/m/debian/manifests/12")));
    // A mirror that is down: port 1 of this machine.
    let conf = format!(
        "[[registry]]\nprefix = 'h.example'\nlocation = '{address}'\n[[registry.mirror]]\nlocation = '127.0.0.1:1/m'\n"
    );
    let run = create(folder.path(), &conf, "docker://h.example/os/debian:12", &["--no-cache"]);
    run.must_end(1, &[FETCHED[0], "cannot reach 127.0.0.1:1", &format!("trying {address} instead")]);
}

#[test]
fn a_blocked_registry_is_asked_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(folder.path());
    let conf = format!("[[registry]]\nlocation = '{}'\nblocked = true\n", registry.address);
    let reference = format!("docker://{}/x/y:1", registry.address);
    create(folder.path(), &conf, &reference, &["--no-cache"]).must_end(3, &["registries.conf blocks"]);
    assert!(registry.requests.lock().unwrap().is_empty());
    create(folder.path(), "[[registry]\n", &reference, &["--no-cache"])
        .must_end(3, &["cannot read", "registries.conf"]);
}

#[test]
fn a_short_name_is_found_by_its_alias_and_shown_in_full() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(folder.path());
    let conf = format!("[aliases]\nserver = '{}/os/server'\n", registry.address);
    create(folder.path(), &conf, "server:12", &["--no-cache"]).must_end(1, &FETCHED);
    assert!(registry.requests.lock().unwrap().iter().any(|request| request.starts_with("/v2/os/server/manifests/12")));
    let plan = create(folder.path(), &conf, "server:12", &["--no-cache", "--dry-run", "--json"]);
    assert!(plan.stdout.contains(&format!("docker://{}/os/server:12", registry.address)), "{}", plan.stdout);
    let several = "unqualified-search-registries = ['a.example', 'b.example']\n";
    create(folder.path(), several, "server:12", &[])
        .must_end(2, &["may be in several registries: a.example, b.example"]);
}

#[test]
fn a_second_create_fetches_no_blob_and_a_damaged_copy_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(folder.path());
    let reference = format!("docker://{}/x/y:1", registry.address);
    let cache = folder.path().join("cache");
    let run = || create(folder.path(), "", &reference, &[&format!("--cache={}", cache.display())]);
    let asked = || registry.requests.lock().unwrap().iter().filter(|request| request.contains("/blobs/")).count();
    run().must_end(1, &FETCHED);
    let first = asked();
    assert!(first >= 2, "a config and a layer");
    run().must_end(1, &FETCHED);
    assert_eq!(asked(), first);
    let largest = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
    let largest = largest.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&largest, bytes).unwrap();
    run().must_end(1, &["was damaged, and has been removed", "run the command again"]);
    run().must_end(1, &FETCHED);
    assert_eq!(asked(), first + 1);
    fs::remove_dir_all(&cache).unwrap();
    std::os::unix::fs::symlink("/tmp", &cache).unwrap();
    run().must_end(3, &["is a link", "--no-cache"]);
}
