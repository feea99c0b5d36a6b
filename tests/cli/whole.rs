//! A whole disk of a real image, judged by other programs than those that made it.

use crate::cli::images;
use crate::support::program::{Guard, assert_nothing_left, command, flipslot, tool};
use serde_json::Value;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

#[test]
fn a_disk_is_clean_for_sgdisk_fsck_and_grub_and_its_result_is_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let config = format!(
        "size = '4GiB'\nslot-size = '1500MiB'\ndata = true\nhardware = 'qemu'\n[slot]\nb = 'oci:{}:latest'\n",
        images::debian_without_initramfs().display()
    );
    std::fs::write(path("disk.toml"), config).unwrap();
    let run = flipslot(
        folder.path(),
        &["create", "d.raw", "--config=disk.toml", "--kargs=quiet a;b", "--json", "--progress=json"],
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_nothing_left(folder.path(), &["d.raw", "disk.toml"]);

    let result: Value = serde_json::from_str(&run.stdout).expect("stdout is one JSON document");
    assert_eq!(result["slots"][0]["slot"], "b");
    assert_eq!(result["slots"][0]["os"], "Debian GNU/Linux 12 (bookworm)");
    assert!(result["phases"].as_array().unwrap().iter().any(|phase| phase["step"] == "making the initramfs"));
    let events: Vec<Value> =
        run.stderr.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect();
    assert!(events.iter().any(|event| event["event"] == "begin" && event["slot"] == "b"));

    let table = tool("sgdisk", &["--verify", "--print", &path("d.raw")]);
    assert!(table.contains("No problems found") && !table.to_lowercase().contains("warning"), "{table}");
    for (code, name) in
        [("EF02", "bios-boot"), ("EF00", "boot"), ("8304", "slot-a"), ("8304", "slot-b"), ("8300", "data")]
    {
        assert!(table.lines().any(|line| line.contains(code) && line.ends_with(name)), "{name}: {table}");
    }
    let disk = File::open(path("d.raw")).unwrap();
    let extract = |name: &str, start: u64, size: u64| {
        let mut bytes = vec![0; usize::try_from(size).unwrap()];
        disk.read_exact_at(&mut bytes, start).unwrap();
        File::create(path(name)).unwrap().write_all(&bytes).unwrap();
    };
    extract("boot.fat", 2 * MIB, 64 * MIB);
    let fat = tool("fsck.vfat", &["-n", "-v", &path("boot.fat")]);
    assert!(!fat.to_lowercase().contains("dirty") && fat.contains("32 bit entries"), "{fat}");
    extract("slot.ext4", (66 + 1500) * MIB, 1500 * MIB);
    tool("e2fsck", &["-f", "-n", &path("slot.ext4")]);
    grub_reads_what_we_wrote(&path("boot.fat"), &path("slot.ext4"), folder.path());
}

/// GRUB's own parser takes the config, and GRUB's own driver reads the kernel from the slot.
fn grub_reads_what_we_wrote(fat: &str, slot: &str, folder: &std::path::Path) {
    let copy = |name: &str| {
        let to = folder.join("copied").to_string_lossy().into_owned();
        tool("mcopy", &["-n", "-o", "-i", fat, &format!("::{name}"), &to]);
        std::fs::read_to_string(to).unwrap()
    };
    for name in ["grub/grub.cfg", "flipslot/slot-b.cfg"] {
        copy(name);
        tool("grub-script-check", &[&folder.join("copied").to_string_lossy()]);
    }
    let entry = copy("flipslot/slot-b.cfg");
    assert_eq!(entry.len(), 4096);
    assert!(entry.contains("root=PARTUUID=") && entry.contains("'a;b'") && entry.contains("gpt4"), "{entry}");
    assert!(copy("flipslot/slot-a.cfg").starts_with("# slot a holds nothing"));
    assert_eq!(copy("flipslot/state-1"), copy("flipslot/state-2"));
    assert!(copy("flipslot/state-1").contains("\nwanted=b\nproven=b\ntries=0\nbefore=\nend=1\n"));
    assert_eq!(copy("flipslot/ledger.json").len(), 16384, "there is room for every boot to come");
    let record: Value = serde_json::from_str(&copy("flipslot/slot-b.json")).unwrap();
    for (path, digest) in [("kernel", "kernel_digest"), ("initramfs", "initramfs_digest")] {
        let place = record["entry"][path]["path"].as_str().or(record["entry"][path].as_str()).unwrap();
        let bytes = folder.join("read-by-grub").to_string_lossy().into_owned();
        tool("grub-fstest", &[slot, "cp", &format!("(loop0)/{place}"), &bytes]);
        let found = flipslot::words::digest::Digest::of(&std::fs::read(&bytes).unwrap());
        assert_eq!(record["entry"][digest], found.to_string(), "{place}");
    }
}

/// The processes below `parent`, by their parents' numbers in /proc.
fn below(parent: u32) -> Vec<u32> {
    let text = tool("ps", &["-e", "-o", "pid=,ppid="]);
    let pairs = text.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    let children: Vec<u32> = pairs.filter(|(_, of)| *of == parent).map(|(process, _)| process).collect();
    children.iter().flat_map(|child| [vec![*child], below(*child)].concat()).collect()
}

#[test]
fn e12_a_kill_while_dracut_runs_ends_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let slot = format!("--slot=a=oci:{}:latest", images::debian_without_initramfs().display());
    let mut create = command(folder.path(), &["create", "d.raw", "--size=4GiB", &slot]);
    let mut child = Guard(create.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let begin = Instant::now();
    // unshare, the shell that is dracut, and what that has started.
    let started = loop {
        let started = below(child.0.id());
        if started.len() >= 3 {
            break started;
        }
        assert!(
            child.0.try_wait().unwrap().is_none() && begin.elapsed() < Duration::from_secs(600),
            "dracut never ran"
        );
    };
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    assert_nothing_left(folder.path(), &[]);
    let alive = |process: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        (status.contains("dracut") || status.contains("unshare")) && !status.contains("State:\tZ")
    };
    while started.iter().any(alive) {
        assert!(begin.elapsed() < Duration::from_secs(900), "{started:?} still run");
        std::thread::sleep(Duration::from_millis(50));
    }
}
