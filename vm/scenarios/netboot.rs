//! A machine without a disk of ours: it boots by PXE from a folder of static files, and a restart is the image again.

use crate::disks::{self, Scratch};
use crate::images;
use crate::machine::{Machine, log};
use crate::setup::{Firmware, Setup};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The address of the machine's network card.
const MAC: &str = "52:54:00:12:34:56";
/// Serves a folder, and prints its port.
const SERVER: &str = "import http.server, sys\n\
     serve = http.server.ThreadingHTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\n\
     print(serve.server_address[1], flush=True)\n\
     serve.serve_forever()";

/// A server of HTTP that ends with the test.
struct Served {
    server: Child,
    port: String,
}

impl Served {
    #[allow(clippy::disallowed_methods)] // tests start programs by themselves
    fn start(folder: &Path) -> Served {
        let mut command = Command::new("python3");
        command.args(["-c", SERVER]).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = command.spawn().expect("python3 can be started");
        let mut port = String::new();
        BufReader::new(server.stdout.take().expect("stdout was piped")).read_line(&mut port).expect("it says its port");
        Served { server, port: port.trim().to_owned() }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn publish(folder: &Path, port: &str, suite: &str, format: &str) {
    let folder = folder.to_string_lossy();
    let url = format!("--url=http://10.0.2.2:{port}");
    let image = format!("--image=os=oci:{}:latest", images::layout(suite).display());
    let host = format!("--host=rack1=os,mac={MAC}");
    let (format, words) = (format!("--format={format}"), disks::SAME_ADDRESSES);
    let arguments = ["netboot", &folder, &url, &image, &host, &format, "--console=ttyS0", words, "--progress=none"];
    disks::run(env!("CARGO_BIN_EXE_flipslot"), &arguments);
}

fn comes_up(machine: &mut Machine, release: u32, format: &str) {
    machine.wait_for("iPXE takes the script of the host", &format!("flipslot.format={format}"));
    machine.wait_for("the image comes up", &format!("Debian GNU/Linux {release} rack1"));
    machine.wait_for("login prompt", "rack1 login:");
    machine.log_in();
    assert_eq!(machine.run("systemctl --failed --no-legend --plain"), "", "no unit has failed");
    let mounts = machine.run("grep -E ' (/|/run/flipslot/base) ' /proc/mounts");
    assert!(mounts.contains("overlay / overlay rw") && mounts.contains(&format!(" {format} ro")), "{mounts}");
}

#[test]
fn a_diskless_machine_forgets_what_was_broken_in_it_and_boots_what_is_published_next() {
    let folder = tempfile::tempdir().expect("a folder to serve");
    let served = Served::start(folder.path());
    publish(folder.path(), &served.port, "bookworm", "squashfs");
    let _ = std::fs::remove_file(log("netboot"));
    let disk = Scratch::named("netboot.raw");
    std::fs::write(&*disk, vec![0; 1 << 20]).expect("an empty disk can be made");
    let network = format!("user,id=network,tftp={},bootfile=boot.ipxe", folder.path().display());
    let card = format!("virtio-net-pci,netdev=network,mac={MAC},bootindex=0");
    let more = ["-netdev", &network, "-device", &card, "-uuid", "4c4c4544-004b-3510-804b-b4c04f564431"];
    let mut machine = Machine::start(&Setup { more: &more, ..Setup::lasting("netboot", Firmware::Bios, &disk) });
    comes_up(&mut machine, 12, "squashfs");
    let first = machine.run("cat /etc/machine-id");
    assert_eq!(first.len(), 32, "{first}");
    machine.run("rm -r /usr/share /etc/passwd; touch /here");
    assert_eq!(machine.run("ls -d /here /usr/share 2>/dev/null"), "/here");

    machine.leave_by("systemctl reboot -f");
    comes_up(&mut machine, 12, "squashfs");
    assert_eq!(machine.run("ls -d /here /usr/share 2>/dev/null"), "/usr/share", "it is the image again");
    assert_eq!(machine.run("cat /etc/machine-id"), first, "and the same machine");

    publish(folder.path(), &served.port, "trixie", "erofs");
    machine.leave_by("systemctl reboot -f");
    comes_up(&mut machine, 13, "erofs");
}
