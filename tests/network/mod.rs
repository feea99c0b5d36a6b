//! The processes of `flipslot-init` that read what strangers send, seen from outside.

use crate::support::program::Guard;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The file that is served.
fn file() -> Vec<u8> {
    (0..300_000u32).flat_map(u32::to_le_bytes).collect()
}

/// A server whose answers a function makes of the number of the request and the byte that is asked for first.
struct Server {
    url: String,
    requests: Arc<AtomicUsize>,
}

impl Server {
    fn start(answer: impl Fn(usize, usize, &mut TcpStream) + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/root.squashfs", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let range =
                    head.iter().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
                let from = range.and_then(|range| range.split('-').next()?.parse().ok()).unwrap_or(0);
                answer(count.fetch_add(1, Ordering::Relaxed), from, &mut stream);
            }
        });
        Server { url, requests }
    }
}

/// Sends the file from a byte on, and breaks off after so many.
fn send(stream: &mut TcpStream, from: usize, most: usize) {
    let file = file();
    let rest = &file[from..];
    let status = if from == 0 { "200 OK".to_owned() } else { format!("206 Partial\r\nContent-Range: bytes {from}-/*") };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len());
    // The other end may be gone.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&rest[..most.min(rest.len())]));
}

#[allow(clippy::disallowed_methods)] // tests start programs by themselves
fn start(url: &str, hall: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flipslot-init"));
    command
        .args([
            "read-network",
            &format!("{{\"fetch\":{{\"what\":{{\"file\":\"{url}\"}},\"dns\":[\"127.0.0.1\"],\"search\":\"lab\",\"seconds\":60}}}}"),
        ])
        .arg(hall);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Fetches; returns what it prints, and what it says.
fn fetched(url: &str) -> (Vec<u8>, String) {
    let hall = tempfile::tempdir().unwrap();
    let output = start(url, hall.path()).wait_with_output().unwrap();
    (output.stdout, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn n2_a_file_is_written_where_it_stays_and_never_beyond_the_room_for_it() {
    let server = Server::start(|_, from, stream| send(stream, from, usize::MAX));
    let (hall, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let keep = |room: usize| {
        let path = folder.path().join(room.to_string());
        let order = format!(
            "{{\"keep\":{{\"url\":\"{}\",\"dns\":[],\"search\":null,\"seconds\":60,\"room\":{room}}}}}",
            server.url
        );
        #[allow(clippy::disallowed_methods)] // tests start programs by themselves
        let mut command = Command::new(env!("CARGO_BIN_EXE_flipslot-init"));
        command.args(["read-network", &order]).arg(hall.path()).stdin(fs::File::create(&path).unwrap());
        (command.output().unwrap(), fs::read(&path).unwrap())
    };
    let (output, kept) = keep(file().len());
    assert!(output.status.success() && kept == file(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, (file().len() as u64).to_le_bytes(), "its length, and nothing else");
    let (output, kept) = keep(100_000);
    assert!(!output.status.success() && kept.len() == 100_000);
}

fn is_whole(printed: &[u8]) -> bool {
    let file = file();
    printed.len() == file.len() + 8 && printed[..8] == (file.len() as u64).to_le_bytes() && printed[8..] == file
}

#[test]
fn n3_a_transfer_that_breaks_off_twenty_times_goes_on() {
    let piece = file().len() / 21 + 1;
    let server = Server::start(move |_, from, stream| send(stream, from, piece));
    let (printed, said) = fetched(&server.url);
    assert!(is_whole(&printed), "{said}");
    assert_eq!(server.requests.load(Ordering::Relaxed), 21);
}

#[test]
fn n3_a_server_that_begins_again_instead_is_read_again() {
    let server = Server::start(|request, _, stream| send(stream, 0, if request == 0 { 500_000 } else { usize::MAX }));
    let (printed, said) = fetched(&server.url);
    assert!(is_whole(&printed), "{said}");
}

#[test]
fn n3_a_server_that_comes_up_late_is_waited_for() {
    let server = Server::start(|request, from, stream| match request {
        0..3 => stream.write_all(b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap(),
        _ => send(stream, from, usize::MAX),
    });
    assert!(is_whole(&fetched(&server.url).0));
}

#[test]
fn what_a_server_does_not_have_or_does_not_measure_is_a_sentence() {
    let gone = Server::start(|_, _, stream| {
        stream.write_all(b"HTTP/1.1 404 Gone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    });
    let (printed, said) = fetched(&gone.url);
    assert!(printed.is_empty() && said.contains(&format!("has no {}", gone.url)), "{said}");
    let endless = Server::start(|_, _, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").unwrap();
    });
    let (printed, said) = fetched(&endless.url);
    assert!(printed.is_empty() && said.contains("does not say how long"), "{said}");
    let (_, said) = fetched("http://user:secret@127.0.0.1/root");
    assert!(said.contains("user or a password is refused"), "L2: {said}");
}

/// Fails unless a process is another user without capabilities, behind a filter of system calls.
fn must_have_no_rights(process: &Path) {
    let status = fs::read_to_string(process.join("status")).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1".to_owned(), "2".to_owned()));
    assert!(field("Uid:").split_whitespace().all(|user| user == "65534"), "{status}");
    assert!(field("Gid:").split_whitespace().all(|group| group == "65534") && field("Groups:").is_empty(), "{status}");
    for set in ["CapPrm:", "CapEff:", "CapInh:", "CapAmb:"] {
        assert_eq!(u64::from_str_radix(&field(set), 16).unwrap(), 0, "{set}");
    }
}

#[test]
fn l7_the_process_that_asks_for_an_address_has_no_files_no_rights_and_few_calls() {
    let hall = tempfile::tempdir().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let order = "{\"lease\":{\"mac\":[82,84,0,18,52,86],\"exchange\":7,\"seconds\":60}}";
    #[allow(clippy::disallowed_methods)] // tests start programs by themselves
    let mut command = Command::new(env!("CARGO_BIN_EXE_flipslot-init"));
    command.args(["read-network", order]).arg(hall.path()).stdin(OwnedFd::from(socket.try_clone().unwrap()));
    socket.set_broadcast(true).unwrap();
    let child = Guard(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let process = PathBuf::from(format!("/proc/{}", child.0.id()));
    let begin = Instant::now();
    // The filter is the last of its walls.
    while !fs::read_to_string(process.join("status")).unwrap().contains("Seccomp:\t2") {
        assert!(begin.elapsed() < Duration::from_secs(30), "it puts up its walls");
        thread::sleep(Duration::from_millis(5));
    }
    must_have_no_rights(&process);
    let root = fs::read_dir(process.join("root")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(root.collect::<Vec<_>>(), ["dev"], "random bytes and nothing else");
}

#[test]
fn l7_the_process_that_fetches_has_no_files_no_rights_and_few_calls() {
    let server = Server::start(|_, from, stream| {
        send(stream, from, 1000);
        thread::sleep(Duration::from_secs(60));
    });
    let hall = tempfile::tempdir().unwrap();
    let mut child = Guard(start(&server.url, hall.path()));
    let mut head = [0; 1008];
    child.0.stdout.as_mut().unwrap().read_exact(&mut head).unwrap();
    let process = PathBuf::from(format!("/proc/{}", child.0.id()));
    must_have_no_rights(&process);
    let root = process.join("root");
    let mut names: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["authorities.pem", "dev", "etc"]);
    assert_eq!(fs::read_to_string(root.join("etc/resolv.conf")).unwrap(), "search lab\nnameserver 127.0.0.1\n");
    assert_ne!(fs::read_link(process.join("ns/mnt")).unwrap(), fs::read_link("/proc/self/ns/mnt").unwrap());
    assert_eq!(fs::read_dir(hall.path()).unwrap().count(), 0, "its mounts are its own");
    let open: Vec<PathBuf> =
        fs::read_dir(process.join("fd")).unwrap().filter_map(|fd| fs::read_link(fd.unwrap().path()).ok()).collect();
    let is_own = |target: &PathBuf| {
        let target = target.to_string_lossy();
        ["/dev/null", "pipe:", "socket:", "anon_inode:"].iter().any(|start| target.starts_with(start))
    };
    assert!(open.iter().all(is_own), "{open:?}");
}

#[test]
fn n5_a_certificate_that_nobody_vouches_for_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let more = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"];
    let new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", &path("key"), "-out", &path("crt")];
    crate::support::program::tool("openssl", &[&new[..], &more].concat());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    #[allow(clippy::disallowed_methods)] // tests start programs by themselves
    let mut server = Command::new("openssl");
    server.args(["s_server", "-quiet", "-accept", &port.to_string(), "-key", &path("key"), "-cert", &path("crt")]);
    let _server = Guard(server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let begin = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(30), "openssl serves");
        thread::sleep(Duration::from_millis(20));
    }
    let (printed, said) = fetched(&format!("https://127.0.0.1:{port}/root.squashfs"));
    assert!(printed.is_empty() && said.contains("invalid peer certificate"), "{said}");
}

#[test]
fn the_init_for_the_network_is_at_most_6_mb_compressed_and_that_for_disks_1_5() {
    let size = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(name);
        fs::metadata(&path).unwrap_or_else(|error| panic!("{}: {error}; run make init", path.display())).len()
    };
    assert!(size("flipslot-init-net.zst") <= 6_000_000);
    assert!(size("flipslot-init.zst") <= 1_500_000);
}
