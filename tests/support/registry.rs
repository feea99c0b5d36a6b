//! A registry that misbehaves: it serves an OCI layout over HTTP, as far as it is told to. What a
//! registry does right is tested with a real one.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What it does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Sends so many bytes of a blob, and then nothing, for ever.
    Stall(usize),
    /// Closes the first connection that asks for a blob after so many bytes.
    CutOnce(usize),
    /// The same, and ignores where the next one wants to go on.
    CutOnceAndRestart(usize),
    /// Wants a bearer token, and hands it out to everyone.
    Bearer,
    /// Has another image under the tag at the second look.
    MovingTag,
}

/// A registry that runs until the test ends.
pub struct Registry {
    /// host:port.
    pub address: String,
    /// Every request line with its Authorization header.
    pub requests: Arc<Mutex<Vec<String>>>,
}

struct Server {
    layout: PathBuf,
    address: String,
    fault: Fault,
    cuts: AtomicUsize,
    looks: AtomicUsize,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    /// Serves the only image of `layout`, whatever repository and tag are asked for.
    pub fn start(layout: &Path, fault: Fault) -> Registry {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let server = Arc::new(Server {
            layout: layout.to_owned(),
            address: address.clone(),
            fault,
            cuts: AtomicUsize::new(0),
            looks: AtomicUsize::new(0),
            requests: Arc::clone(&requests),
        });
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = Arc::clone(&server);
                thread::spawn(move || server.answer(stream));
            }
        });
        Registry { address, requests }
    }
}

impl Server {
    /// Answers one request and closes the connection.
    fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let header = |name: &str| {
            lines
                .iter()
                .find_map(|line| line.to_lowercase().starts_with(name).then(|| line.split_once(": "))?)
                .map(|(_, value)| value.to_owned())
        };
        let path = lines.first()?.split(' ').nth(1)?.to_owned();
        let authorization = header("authorization");
        self.requests.lock().unwrap().push(format!("{path} {}", authorization.clone().unwrap_or_default()));
        if path.starts_with("/token") {
            return self.send(
                &mut stream,
                "200 OK",
                "application/json",
                br#"{"token":"the-token","access_token":"the-token"}"#,
            );
        }
        if self.fault == Fault::Bearer && authorization.as_deref() != Some("Bearer the-token") {
            let challenge =
                format!("WWW-Authenticate: Bearer realm=\"http://{}/token\",service=\"test\"", self.address);
            return write!(
                stream,
                "HTTP/1.1 401 Unauthorized\r\n{challenge}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            .ok();
        }
        let from = header("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
            .unwrap_or(0);
        match path.split('/').collect::<Vec<_>>().as_slice() {
            ["", "v2", ""] => self.send(&mut stream, "200 OK", "application/json", b"{}"),
            [.., "manifests", name] if self.has(name) => self.listed(&mut stream, &format!("blobs/{name}")),
            [.., "manifests", name] if name.ends_with(".sig") => {
                self.send(&mut stream, "404 Not Found", "text/plain", b"")
            }
            [.., "manifests", _] => self.manifest(&mut stream),
            [.., "referrers", _] => self.listed(&mut stream, "referrers.json"),
            [.., "blobs", digest] => self.blob(&mut stream, &digest.replace(':', "/"), from),
            _ => self.send(&mut stream, "404 Not Found", "text/plain", b""),
        }
    }

    /// Returns true if `name` is a digest of the layout that is not that of its image.
    fn has(&self, name: &str) -> bool {
        let index = fs::read_to_string(self.layout.join("index.json")).unwrap_or_default();
        !index.contains(name) && self.layout.join("blobs").join(name.replace(':', "/")).is_file()
    }

    /// Sends a document of the layout, if it is there.
    fn listed(&self, stream: &mut TcpStream, name: &str) -> Option<()> {
        match fs::read(self.layout.join(name.replace("sha256:", "sha256/"))) {
            Ok(document) => self.send(stream, "200 OK", "application/vnd.oci.image.index.v1+json", &document),
            Err(_) => self.send(stream, "404 Not Found", "text/plain", b""),
        }
    }

    fn manifest(&self, stream: &mut TcpStream) -> Option<()> {
        let index: serde_json::Value = serde_json::from_slice(&fs::read(self.layout.join("index.json")).ok()?).ok()?;
        let digest = index["manifests"][0]["digest"].as_str()?.replace(':', "/");
        let mut manifest = fs::read(self.layout.join("blobs").join(digest)).ok()?;
        if self.fault == Fault::MovingTag && self.looks.fetch_add(1, Ordering::Relaxed) > 0 {
            manifest.extend_from_slice(b"\n");
        }
        self.send(stream, "200 OK", "application/vnd.oci.image.manifest.v1+json", &manifest)
    }

    fn blob(&self, stream: &mut TcpStream, place: &str, from: usize) -> Option<()> {
        let blob = fs::read(self.layout.join("blobs").join(place)).ok()?;
        let first = || self.cuts.fetch_add(1, Ordering::Relaxed) == 0;
        // Small blobs are configs: the faults are for layers.
        let (from, until, hang) = match self.fault {
            _ if blob.len() < 2048 => (from, blob.len(), false),
            Fault::Stall(bytes) => (from, bytes, true),
            Fault::CutOnce(bytes) if first() => (from, bytes, false),
            Fault::CutOnceAndRestart(bytes) if first() => (from, bytes, false),
            Fault::CutOnceAndRestart(_) => (0, blob.len(), false),
            _ => (from, blob.len(), false),
        };
        let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
        let range = format!("Content-Range: bytes {from}-{}/{}\r\n", blob.len() - 1, blob.len());
        let length = blob.len() - from;
        write!(stream, "HTTP/1.1 {status}\r\n{range}Content-Type: application/octet-stream\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").ok()?;
        stream.write_all(&blob[from..until.max(from)]).ok()?;
        stream.flush().ok()?;
        if hang {
            // Until the other side goes away.
            let _ = stream.read(&mut [0]);
        }
        Some(())
    }

    fn send(&self, stream: &mut TcpStream, status: &str, kind: &str, body: &[u8]) -> Option<()> {
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        stream.write_all(body).ok()
    }
}
