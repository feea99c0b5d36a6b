//! What stands beside a disk: the manifest says what is on it, and SHA256SUMS fits at every moment.

use crate::artifacts::{Lab, names};
use crate::support::program::{Guard, assert_nothing_left, ended, tool};
use serde_json::Value;
use std::fs;
use std::process::Stdio;

fn sums_must_fit(lab: &Lab) {
    let script = "cd \"$1\" && sha256sum --check --strict --quiet SHA256SUMS";
    tool("sh", &["-ec", script, "sh", &lab.out().to_string_lossy()]);
}

fn names_in_sums(lab: &Lab) -> Vec<String> {
    let text = fs::read_to_string(lab.path("SHA256SUMS")).unwrap();
    text.lines().map(|line| line[66..].to_owned()).collect()
}

fn manifest(lab: &Lab, disk: &str) -> Value {
    serde_json::from_slice(&fs::read(lab.path(&format!("{disk}.json"))).unwrap()).unwrap()
}

#[test]
fn the_manifest_says_of_the_disk_what_sgdisk_and_status_say() {
    let lab = Lab::new();
    let run = lab.create("d.raw", &["--sidecars", "--json", "--kargs=quiet"]);
    run.must_end(0, &[]);
    let (result, said): (Value, Value) = (serde_json::from_str(&run.stdout).unwrap(), manifest(&lab, "d.raw"));
    assert_eq!((&said["version"], &said["format"]), (&Value::from(1), &Value::from("raw")));
    assert_eq!(said["size"], fs::metadata(lab.path("d.raw")).unwrap().len());
    let partitions = said["table"]["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 3);
    let known = tool("sgdisk", &["--print", &lab.path("d.raw")]);
    assert!(known.to_lowercase().contains(said["table"]["guid"].as_str().unwrap()), "{known}");
    for partition in partitions {
        let info = tool("sgdisk", &[&format!("--info={}", partition["number"]), &lab.path("d.raw")]);
        let text = |key: &str| partition[key].as_str().unwrap().to_uppercase();
        assert!(info.contains(&format!("Partition unique GUID: {}", text("guid"))), "{info}");
        assert!(info.contains(&format!("Partition GUID code: {}", text("type"))), "{info}");
        assert!(info.contains(&format!("Partition name: '{}'", partition["name"].as_str().unwrap())), "{info}");
        let sectors = |key: &str| partition[key].as_u64().unwrap() / said["table"]["sector"].as_u64().unwrap();
        assert!(info.contains(&format!("First sector: {} ", sectors("start"))), "{info}");
        assert!(info.contains(&format!("Partition size: {} sectors", sectors("size"))), "{info}");
    }
    let status = crate::support::program::flipslot(&lab.out(), &["status", "--disk=d.raw", "--json"]);
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    let slot = &said["slots"][0];
    let keys = "slot partition reference digest os kernel filesystem hardware drivers initramfs_by agent written";
    for key in keys.split(' ') {
        assert!(!slot[key].is_null() && slot[key] == status["slots"][0][key], "{key}: {slot:#}");
    }
    assert!(said["written"].as_str().unwrap() >= slot["written"].as_str().unwrap(), "{said:#}");
    assert!(slot["cmdline"].as_str().unwrap().ends_with("quiet"), "{slot:#}");
    assert_eq!(said["files"], Value::from(result["files"].as_array().unwrap()[..2].to_vec()));
    assert_eq!(result["files"][2]["name"], "d.raw.json");
    sums_must_fit(&lab);
}

#[test]
fn sums_keep_the_lines_of_others_and_follow_what_is_replaced() {
    let lab = Lab::new();
    fs::write(lab.path("notes"), "notes").unwrap();
    let hash = tool("sha256sum", &[&lab.path("notes")])[..64].to_owned();
    fs::write(lab.path("SHA256SUMS"), format!("{hash} *notes")).unwrap();
    let run = lab.create("d.raw", &["--sidecars"]);
    run.must_end(0, &[]);
    assert!(run.stdout.contains("beside it: d.raw.bmap d.raw.json SHA256SUMS"), "{}", run.stdout);
    lab.create("d.qcow2", &["--sidecars"]).must_end(0, &[]);
    sums_must_fit(&lab);
    let all = ["notes", "d.raw", "d.raw.bmap", "d.raw.json", "d.qcow2", "d.qcow2.json"];
    assert_eq!(names_in_sums(&lab), all, "a qcow2 has no block map");
    let before = fs::read(lab.path("d.raw.bmap")).unwrap();
    lab.create("d.raw", &["--sidecars", "--yes", "--kargs=quiet"]).must_end(0, &[]);
    sums_must_fit(&lab);
    assert_ne!(fs::read(lab.path("d.raw.bmap")).unwrap(), before);
    assert_eq!(names_in_sums(&lab).len(), all.len());
    assert_nothing_left(&lab.out(), &[&all[..], &["SHA256SUMS"]].concat());
}

#[test]
fn two_runs_in_one_folder_both_stand_in_its_sums() {
    let lab = Lab::new();
    let names: Vec<String> = (0..3).map(|number| format!("d{number}.raw")).collect();
    let start = |name: &String| {
        let mut create = lab.command(name, &["--sidecars"]);
        Guard(create.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    };
    let runs: Vec<Guard> = names.iter().map(start).collect();
    for mut run in runs {
        assert!(run.0.wait().unwrap().success());
    }
    sums_must_fit(&lab);
    assert_eq!(names_in_sums(&lab).len(), 3 * names.len());
}

#[test]
fn what_stands_beside_is_refused_or_replaced_like_the_disk() {
    let lab = Lab::new();
    for name in ["d.raw.bmap", "d.raw.json"] {
        fs::write(lab.path(name), "the old one").unwrap();
        lab.create("d.raw", &["--sidecars"]).must_end(3, &[&format!("{name} exists"), "--yes"]);
        assert_eq!(fs::read(lab.path(name)).unwrap(), b"the old one");
        assert_nothing_left(&lab.out(), &[name]);
        lab.create("d.raw", &[]).must_end(0, &[]);
        fs::remove_file(lab.path("d.raw")).unwrap();
        fs::remove_file(lab.path(name)).unwrap();
    }
    fs::create_dir(lab.path("SHA256SUMS")).unwrap();
    lab.create("d.raw", &["--sidecars"]).must_end(3, &["SHA256SUMS cannot be read", "another directory"]);
    lab.create("d\n.raw", &["--sidecars"]).must_end(2, &["cannot hold the name"]);
    assert_eq!(names(&lab.out()), ["SHA256SUMS"]);
}

#[test]
fn the_key_of_the_config_is_the_flag() {
    let lab = Lab::new();
    fs::write(lab.path("../disk.toml"), "sidecars = true\n").unwrap();
    let run = ended(&mut lab.command("d.raw.zst", &["--config=../disk.toml"]));
    run.must_end(0, &[]);
    assert_eq!(names(&lab.out()), ["SHA256SUMS", "d.raw.zst", "d.raw.zst.bmap", "d.raw.zst.json"]);
    sums_must_fit(&lab);
}
