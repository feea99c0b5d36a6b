//! A machine without systemd, which is configured after its boot: by a playbook of a commit, over TLS.

use crate::disks::{self, Scratch};
use crate::images::{self, Put};
use crate::lan::{Lan, SERVER};
use crate::machine::{Machine, log};
use crate::setup::{Firmware, Setup};
use std::fs;
use std::path::Path;

const MAC: &str = "52:54:00:12:34:56";

/// Makes an authority, a certificate for the server, and a repository with a playbook; its commit is in the file `commit`.
const PREPARE: &str = r#"
cd "$1"; chmod a+rx .
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=shop -days 30 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout srv.key -out srv.csr -subj /CN=srv 2>/dev/null
printf 'subjectAltName=IP:10.77.0.1' > names
openssl x509 -req -in srv.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile names -out srv.crt 2>/dev/null
git init -q -b main work; cd work
cat > site.yml <<END
- hosts: all
  gather_facts: false
  tasks:
    - copy: {content: "by a playbook\n", dest: /etc/configured}
END
git add site.yml
git -c user.name=x -c user.email=x@x commit -q -m site
git rev-parse HEAD > ../commit
git clone -q --bare . ../site.git
git -C ../site.git config uploadpack.allowAnySHA1InWant true
mkdir -p "$2/cgi-bin"; ln -s /usr/lib/git-core/git-http-backend "$2/cgi-bin/git"
"#;

/// Serves the repository by git's own program (git-http-backend(1)); its arguments are the folder of it.
const GIT: &str = r"
import http.server, os, ssl, sys
folder = sys.argv[1]
os.environ.update(GIT_PROJECT_ROOT=folder, GIT_HTTP_EXPORT_ALL='1', GIT_CONFIG_COUNT='1',
                  GIT_CONFIG_KEY_0='safe.directory', GIT_CONFIG_VALUE_0='*')
http.server.CGIHTTPRequestHandler.have_fork = False  # a child of it would write past TLS
class Server(http.server.ThreadingHTTPServer):
    def shutdown_request(self, request):
        try:
            request.unwrap()  # the end of an answer without a length
        except OSError:
            pass
        super().shutdown_request(request)
server = Server(('', 443), http.server.CGIHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder + '/srv.crt', folder + '/srv.key')
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
";

/// Returns a Debian 12 with OpenRC, which trusts the authority and asks for an address.
fn image(store: &Path) -> String {
    let packages = ["sysvinit-core", "openrc", "ifupdown", "isc-dhcp-client", "git", "ca-certificates", "ansible-core"];
    let authority = fs::read(store.join("ca.crt")).expect("there is an authority");
    let network = b"auto eth0\niface eth0 inet dhcp\n".to_vec();
    let puts =
        [Put::File("etc/ssl/certs/ca-certificates.crt", authority), Put::File("etc/network/interfaces", network)];
    format!(
        "oci:{}:latest",
        images::with_layer(&images::with_packages("bookworm", &packages), "openrc", &puts).display()
    )
}

#[test]
#[ignore = "make test-all"]
fn a_machine_with_openrc_is_configured_by_a_playbook_of_a_commit() {
    let (folder, store) = (tempfile::tempdir().expect("a folder to serve"), tempfile::tempdir().expect("a folder"));
    let (served, place) = (folder.path().to_string_lossy(), store.path().to_string_lossy());
    disks::run("sh", &["-ec", PREPARE, "sh", &place, &served]);
    let commit = fs::read_to_string(store.path().join("commit")).expect("there is a commit");
    let (url, host) = (format!("--url=http://{SERVER}"), format!("--host=rack1=os,mac={MAC}"));
    let image = format!("--image=os={}", image(store.path()));
    let run = format!("flipslot.run=git+https://{SERVER}/cgi-bin/git/site.git@{}#site.yml", commit.trim());
    let kargs = format!("--kargs=norandmaps net.ifnames=0 {run}");
    let words = ["netboot", &served, &url, &image, &host, &kargs, "--console=ttyS0", "--progress=none"];
    disks::run(env!("CARGO_BIN_EXE_flipslot"), &words);
    let mut lan = Lan::new("openrc", folder.path());
    lan.serve(&[]);
    lan.start(&["python3", "-c", GIT, &place]);
    let disk = Scratch::named("netboot_openrc.raw");
    fs::write(&*disk, vec![0; 1 << 20]).expect("an empty disk can be made");
    let _ = fs::remove_file(log("netboot_openrc"));
    let card = Lan::card(MAC);
    let more: Vec<&str> = card.iter().map(String::as_str).chain(["-m", "1024"]).collect();
    let setup = Setup::lasting("netboot_openrc", Firmware::Bios, &disk);
    let mut machine = Machine::start(&Setup { namespace: Some(&lan.namespace), more: &more, ..setup });
    machine.wait_for("login prompt", "rack1 login:");
    machine.log_in();
    assert_eq!(machine.run("cat /proc/1/comm"), "init");
    machine.wait_until("it is configured", "flipslot status | grep '  run '", "done");
    assert_eq!(machine.run("cat /etc/configured"), "by a playbook");
}
