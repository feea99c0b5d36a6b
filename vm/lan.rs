//! A network of its own for machines that boot from it: a bridge in a network namespace, with dnsmasq and a server of
//! HTTP for one folder.

use crate::disks::run;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// Address of the servers.
pub const SERVER: &str = "10.77.0.1";
/// The same in IPv6.
pub const SERVER_6: &str = "fd77::1";
/// Serves its folder on all addresses.
const HTTP: &str = "import http.server, socket\n\
     handler = http.server.SimpleHTTPRequestHandler\n\
     handler.protocol_version = 'HTTP/1.1'\n\
     class Server(http.server.ThreadingHTTPServer): address_family = socket.AF_INET6\n\
     Server(('::', 80), handler).serve_forever()";

/// A network that ends with the test.
pub struct Lan {
    /// Name of the namespace.
    pub namespace: String,
    /// Folder that is served.
    pub folder: PathBuf,
    servers: Vec<Child>,
}

impl Lan {
    /// Sets up the network, without servers.
    pub fn new(name: &str, folder: &Path) -> Lan {
        let namespace = format!("flipslot-{name}");
        quietly("ip", &["netns", "delete", &namespace]); // of a run that was killed
        run("ip", &["netns", "add", &namespace]);
        let lan = Lan { namespace, folder: folder.to_owned(), servers: Vec::new() };
        let (address, address_6) = (format!("{SERVER}/24"), format!("{SERVER_6}/64"));
        for words in [
            &["ip", "link", "set", "lo", "up"][..],
            &["ip", "link", "add", "br0", "type", "bridge"],
            &["ip", "address", "add", &address, "dev", "br0"],
            &["ip", "address", "add", &address_6, "dev", "br0", "nodad"],
            &["ip", "link", "set", "br0", "up"],
            &["ip", "tuntap", "add", "tap0", "mode", "tap"],
            &["ip", "link", "set", "tap0", "master", "br0", "up"],
            // Checksums that a card would compute are missing in what a bridge hands on.
            &["ethtool", "-K", "br0", "tx", "off"],
        ] {
            run("ip", &[&["netns", "exec", &lan.namespace], words].concat());
        }
        lan
    }

    /// Starts a program in the namespace, which ends with the test.
    #[allow(clippy::disallowed_methods)] // tests start programs by themselves
    pub fn start(&mut self, words: &[&str]) {
        let name = words[0].rsplit('/').next().unwrap_or_default();
        let log = self.folder.join(format!(".{name}.log"));
        let log = fs::File::create(log).expect("a log can be made");
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).args(words).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        self.servers.push(command.spawn().expect("ip can be started"));
    }

    /// Starts the server of HTTP, and dnsmasq with the folder's own configuration and these words more.
    pub fn serve(&mut self, more: &[&str]) {
        let (lease_file, folder) = (self.folder.join(".leases"), self.folder.clone());
        let leases = format!("--dhcp-leasefile={}", lease_file.display());
        let configuration = format!("--conf-file={}", folder.join("dnsmasq.conf").display());
        let always = ["dnsmasq", "--keep-in-foreground", "--log-dhcp", "--log-facility=-", "--user=root"];
        let no_dns = ["--port=0"].into_iter().filter(|_| !more.iter().any(|word| word.starts_with("--port=")));
        let range = ["--interface=br0", "--bind-interfaces", "--dhcp-range=10.77.0.100,10.77.0.200,1h"];
        let words = [&always[..], &range, &[&leases, &configuration], more].concat();
        self.start(&words.into_iter().chain(no_dns).collect::<Vec<_>>());
        self.start(&["python3", "-c", HTTP]);
    }

    /// Serves the folder as a lab does that has no servers; these flags come last.
    pub fn serve_by_flipslot(&mut self, more: &[&str]) {
        let folder = self.folder.to_string_lossy().into_owned();
        let words = [env!("CARGO_BIN_EXE_flipslot"), "serve", &folder, "--interface=br0"];
        self.start(&[&words[..], more].concat());
        // A machine that gets an address, and nothing to boot, does not ask again.
        while !self.said("flipslot").contains("Ctrl-C ends it") {
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts another machine of the network, which hands out addresses and knows nothing of the folder.
    pub fn add_dhcp_server(&mut self) {
        let router = self.router();
        quietly("ip", &["netns", "delete", &router]); // of a run that was killed
        run("ip", &["netns", "add", &router]);
        let script = "ip -n \"$1\" link add r0 type veth peer name r1 netns \"$2\"
            ip -n \"$1\" link set r0 master br0 up
            ip -n \"$2\" address add 10.77.0.2/24 dev r1; ip -n \"$2\" link set r1 up
            ip netns exec \"$2\" ethtool -K r1 tx off > /dev/null";
        run("sh", &["-ec", script, "sh", &self.namespace, &router]);
        let leases = format!("--dhcp-leasefile={}", self.folder.join(".leases").display());
        let always = ["dnsmasq", "--keep-in-foreground", "--port=0", "--user=root", "--interface=r1"];
        let words = ["ip", "netns", "exec", &router];
        let range = ["--bind-interfaces", "--dhcp-range=10.77.0.100,10.77.0.200,1h", "--conf-file=/dev/null"];
        self.start(&[&words[..], &always, &range, &[&leases]].concat());
        let listens = "until [ -n \"$(ip netns exec \"$1\" ss -Hlnu sport = :67)\" ]; do sleep 0.05; done";
        run("sh", &["-ec", listens, "sh", &router]);
    }

    fn router(&self) -> String {
        format!("{}-r", self.namespace)
    }

    /// Returns the arguments of QEMU for a card in this network, with this address, from which the machine boots.
    pub fn card(mac: &str) -> [String; 4] {
        let netdev = "tap,id=network,ifname=tap0,script=no,downscript=no".to_owned();
        let device = format!("virtio-net-pci,netdev=network,mac={mac},bootindex=0");
        ["-netdev".to_owned(), netdev, "-device".to_owned(), device]
    }

    /// Returns the number of leases that dnsmasq has given and not got back.
    pub fn leases(&self) -> usize {
        fs::read_to_string(self.folder.join(".leases")).unwrap_or_default().lines().count()
    }

    /// Returns what dnsmasq and the server of HTTP have written.
    pub fn said(&self, server: &str) -> String {
        fs::read_to_string(self.folder.join(format!(".{server}.log"))).unwrap_or_default()
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
        for name in [self.namespace.clone(), self.router()] {
            quietly("ip", &["netns", "delete", &name]);
        }
    }
}

#[allow(clippy::disallowed_methods)] // tests start programs by themselves
fn quietly(program: &str, words: &[&str]) {
    let _ = Command::new(program).args(words).stderr(Stdio::null()).status();
}
