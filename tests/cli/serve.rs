//! `serve`: what machines behind one network card get from a netboot folder, and what they do not.
#![allow(clippy::disallowed_methods)] // tests start programs by themselves

use crate::support::program::tool;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const MAC: &str = "52-54-00-12-34-56";

/// Two network namespaces with a cable between them: one of the servers, with 10.78.0.1, and one of machines.
struct Net {
    name: String,
}

impl Net {
    fn new(test: &str) -> Net {
        let net = Net { name: format!("serve-{test}-{}", std::process::id()) };
        let (ours, theirs) = (net.ours(), net.theirs());
        let script = "ip netns add \"$1\"; ip netns add \"$2\"
            ip -n \"$1\" link add v0 type veth peer name v1 netns \"$2\"
            ip -n \"$1\" address add 10.78.0.1/24 dev v0; ip -n \"$1\" link set v0 up
            ip -n \"$2\" address add 10.78.0.9/24 dev v1; ip -n \"$2\" link set v1 up";
        tool("sh", &["-ec", script, "sh", &ours, &theirs]);
        net
    }

    fn ours(&self) -> String {
        format!("{}-a", self.name)
    }

    fn theirs(&self) -> String {
        format!("{}-b", self.name)
    }

    /// Runs curl as a machine; returns the status of HTTP, or what curl has for another protocol, and the bytes.
    fn get(&self, words: &[&str]) -> (String, Vec<u8>) {
        let theirs = self.theirs();
        let always = ["netns", "exec", &theirs, "curl", "-s", "-m", "10", "--noproxy", "*", "--path-as-is"];
        let out = tempfile::NamedTempFile::new().unwrap();
        let to = out.path().to_str().unwrap();
        let run = Command::new("ip").args(always).args(["-o", to, "-w", "%{http_code}"]).args(words).output().unwrap();
        (String::from_utf8(run.stdout).unwrap(), fs::read(to).unwrap())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in [self.ours(), self.theirs()] {
            let kill = "ip netns pids \"$1\" | xargs -r kill -9";
            let _ = Command::new("sh").args(["-c", kill, "sh", &name]).status(); // those of a test that failed
            let _ = Command::new("ip").args(["netns", "delete", &name]).status();
        }
    }
}

/// Writes a folder with what a machine asks for first, and links that lead out of it.
fn write(folder: &Path, url: &str) {
    let served = folder.join("served");
    for name in ["by-mac", "hosts/rack1", "loaders", "images"] {
        fs::create_dir_all(served.join(name)).unwrap();
    }
    fs::write(served.join("boot.ipxe"), format!("#!ipxe\nchain --autofree {url}/by-mac/x ||\n")).unwrap();
    let configuration = format!("enable-tftp\ntftp-root={}\n", served.display());
    fs::write(served.join("dnsmasq.conf"), configuration).unwrap();
    fs::write(served.join("hosts/rack1/boot.ipxe"), "#!ipxe\n").unwrap();
    fs::write(served.join("loaders/core.0"), "loader").unwrap();
    fs::write(served.join("images/root"), (0..=255).cycle().take(1 << 20).collect::<Vec<u8>>()).unwrap();
    symlink("../hosts/rack1", served.join("by-mac").join(MAC)).unwrap();
    symlink("/etc/hostname", served.join("out")).unwrap();
    symlink("/etc/passwd", served.join("users")).unwrap();
    tool("chmod", &["-R", "a+rX", &folder.to_string_lossy()]);
}

fn command(net: &Net, folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &net.ours(), env!("CARGO_BIN_EXE_flipslot"), "serve", "served"]);
    command.args(["--interface", "v0"]).args(more).current_dir(folder);
    command
}

/// Starts it, and waits until it serves.
fn start(net: &Net, folder: &Path, more: &[&str]) -> Child {
    let log = fs::File::create(folder.join("log")).unwrap();
    let mut child = command(net, folder, more).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let begin = Instant::now();
    while !said(folder).contains("Ctrl-C ends it") {
        assert!(child.try_wait().unwrap().is_none(), "it serves: {}", said(folder));
        assert!(begin.elapsed() < Duration::from_secs(60), "it serves: {}", said(folder));
        sleep(Duration::from_millis(50));
    }
    child
}

fn said(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// Returns the users of what runs in the namespace of the servers, by the names of the programs.
fn running(net: &Net) -> Vec<String> {
    let list = "for pid in $(ip netns pids \"$1\"); do ps -o comm=,user= -p $pid; done || true";
    let listed = tool("sh", &["-c", list, "sh", &net.ours()]);
    listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn ends(net: &Net) {
    let begin = Instant::now();
    while !running(net).is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(30), "nothing is left: {:?}", running(net));
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn machines_get_the_files_of_the_folder_whole_or_in_parts_and_no_others() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Net::new("files"));
    write(folder.path(), "http://10.78.0.1/boot");
    let mut child = start(&net, folder.path(), &[]);
    let url = |path: &str| format!("http://10.78.0.1{path}");
    let ok = |status: &str, bytes: &[u8]| (status.to_owned(), bytes.to_vec());
    assert_eq!(net.get(&[&url(&format!("/boot/by-mac/{MAC}/boot.ipxe"))]), ok("200", b"#!ipxe\n"));
    let whole = fs::read(folder.path().join("served/images/root")).unwrap();
    assert_eq!(net.get(&[&url("/boot/images/root")]), ok("200", &whole));
    assert_eq!(net.get(&["-r", "1000-1999", &url("/boot/images/root")]), ok("206", &whole[1000..2000]));
    assert_eq!(net.get(&["-X", "DELETE", &url("/boot/images/root")]).0, "405");
    for odd in [
        "/boot/out",
        "/boot/../../etc/passwd",
        "/boot/%2e%2e/%2e%2e/etc/passwd",
        "/boot//etc/passwd",
        "/images/root",
        "/bootimages/root",
        "/boot/images/",
    ] {
        assert_eq!(net.get(&[&url(odd)]).0, "404", "{odd}");
    }
    assert_eq!(net.get(&["tftp://10.78.0.1/loaders/core.0"]).1, b"loader");
    for odd in ["out", "../../etc/passwd", "//etc/passwd", "etc/passwd"] {
        assert_eq!(net.get(&[&format!("tftp://10.78.0.1/{odd}")]).1, b"", "{odd}");
    }
    let users = String::from_utf8(net.get(&["tftp://10.78.0.1/users"]).1).unwrap();
    assert_eq!(users.lines().count(), 2, "of its own root, where nobody else is: {users}");
    let log = said(folder.path());
    let lines = [
        "10.78.0.1/boot for machines on v0; 10.78.0.128 to 10.78.0.227 are handed out",
        "10.78.0.9 rack1: images/root 1MiB\n",
        "10.78.0.9 rack1: images/root (bytes 1000-1999/1048576) 1000B\n",
        "10.78.0.9 rack1: /out is not there (404)\n",
        "10.78.0.9 rack1: loaders/core.0 by TFTP\n",
    ];
    lines.iter().for_each(|line| assert!(log.contains(line), "{line}: {log}"));
    let users = running(&net);
    assert!(users.contains(&"flipslot nobody".to_owned()) && users.contains(&"dnsmasq nobody".to_owned()), "{users:?}");
    tool("kill", &["-TERM", &child.id().to_string()]);
    child.wait().unwrap();
    ends(&net);
}

#[test]
fn one_machine_with_many_connections_does_not_keep_the_others_out() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Net::new("many"));
    write(folder.path(), "http://10.78.0.1/boot");
    let mut child = start(&net, folder.path(), &[]);
    let theirs = net.theirs();
    tool("ip", &["-n", &theirs, "address", "add", "10.78.0.10/24", "dev", "v1"]);
    let hold = "for i in $(seq 40); do exec {held}<>/dev/tcp/10.78.0.1/80; done; echo held; read -r";
    let mut holds = Command::new("ip");
    holds.args(["netns", "exec", &theirs, "bash", "-ec", hold]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holds = holds.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(holds.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    let file = "http://10.78.0.1/boot/loaders/core.0";
    assert_eq!(net.get(&["--interface", "10.78.0.9", file]).0, "000", "{}", said(folder.path()));
    assert_eq!(net.get(&["--interface", "10.78.0.10", file]).0, "200", "{}", said(folder.path()));
    holds.kill().unwrap();
    holds.wait().unwrap();
    let begin = Instant::now();
    while net.get(&["--interface", "10.78.0.9", file]).0 != "200" {
        assert!(begin.elapsed() < Duration::from_secs(30), "what has ended is not counted: {}", said(folder.path()));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    ends(&net);
}

#[test]
fn a_server_that_is_killed_leaves_nothing_that_serves() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Net::new("killed"));
    write(folder.path(), "http://10.78.0.1");
    let mut child = start(&net, folder.path(), &["--proxy-dhcp"]);
    assert!(said(folder.path()).contains("another server hands out addresses"), "{}", said(folder.path()));
    child.kill().unwrap();
    child.wait().unwrap();
    ends(&net);
}

#[test]
fn a_second_dhcp_server_another_address_and_a_folder_that_is_private_are_refused() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Net::new("refused"));
    let refused = |more: &[&str], says: &str| {
        let Output { status, stderr, .. } = command(&net, folder.path(), more).output().unwrap();
        let said = String::from_utf8_lossy(&stderr).into_owned();
        assert!(status.code() == Some(3) && said.contains(says), "{says}: {said}");
    };
    refused(&[], "served is not a folder of flipslot netboot");
    write(folder.path(), "https://10.78.0.1/boot");
    refused(&[], "serve supports only http://");
    write_url(folder.path(), "http://10.0.0.1/boot");
    refused(&[], "machines look for the folder at http://10.0.0.1/boot, and v0 has 10.78.0.1");
    write_url(folder.path(), "http://10.78.0.1/boot");
    let served = folder.path().join("served");
    tool("chmod", &["go=", &served.to_string_lossy()]);
    refused(&["--proxy-dhcp"], "nobody cannot read");
    tool("chmod", &["go=rx", &served.to_string_lossy()]);
    let theirs = net.theirs();
    let words = ["netns", "exec", &theirs, "dnsmasq", "--keep-in-foreground", "--port=0", "--interface=v1"];
    let more = ["--bind-interfaces", "--dhcp-range=10.78.0.20,10.78.0.30", "--pid-file", "--user=root"];
    let leases = format!("--dhcp-leasefile={}", folder.path().join("leases").display());
    let mut other = Command::new("ip").args(words).args(more).arg(leases).stderr(Stdio::null()).spawn().unwrap();
    let listens = "until [ -n \"$(ip netns exec \"$1\" ss -Hlnu sport = :67)\" ]; do sleep 0.05; done";
    tool("sh", &["-ec", listens, "sh", &theirs]);
    refused(&[], "10.78.0.9 hands out addresses on v0 already");
    let mut child = start(&net, folder.path(), &["--proxy-dhcp"]);
    refused(&["--proxy-dhcp"], "cannot listen on 10.78.0.1:80");
    [&mut child, &mut other].into_iter().for_each(|child| {
        child.kill().unwrap();
        child.wait().unwrap();
    });
    ends(&net);
}

/// Lets the folder be at another address.
fn write_url(folder: &Path, url: &str) {
    fs::write(folder.join("served/boot.ipxe"), format!("#!ipxe\nchain --autofree {url}/by-mac/x ||\n")).unwrap();
}
