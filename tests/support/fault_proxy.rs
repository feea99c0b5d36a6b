//! A proxy in front of a real registry, which does something wrong where a script tells it to, and notes every request
//! that it gets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What happens to one request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This is the whole answer: status line, headers, body.
    Says(String),
    /// The headers, and a body without an end.
    Endless(&'static str),
    /// The connection is reset after so many bytes of the body.
    Reset(usize),
    /// The connection is closed after so many bytes of the body.
    Cut(usize),
    /// The bit of this byte of the body is another one.
    Flip(usize),
    /// The range of the request is ignored: the whole comes, with 200.
    IgnoreRange,
    /// The answer claims to go on elsewhere, at this byte.
    LieAboutRange(usize),
}

/// A fault for the next requests whose path has this text in it.
#[derive(Debug, Clone)]
pub struct Rule {
    pub path: &'static str,
    /// Number of requests before it that pass.
    pub after: usize,
    /// Number of requests that it applies to.
    pub times: usize,
    pub fault: Fault,
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub path: String,
    pub authorization: Option<String>,
    /// First byte of the body that was asked for.
    pub from: usize,
    /// Bytes of the body that were sent.
    pub sent: usize,
}

/// A proxy that runs until the test ends.
pub struct FaultProxy {
    /// host:port.
    pub address: String,
    pub seen: Arc<Mutex<Vec<Seen>>>,
}

type Chooser = dyn FnMut(&Seen) -> Option<Fault> + Send;

impl FaultProxy {
    /// Stands in front of `upstream` (host:port) and follows the rules.
    pub fn start(upstream: &str, rules: Vec<Rule>) -> FaultProxy {
        let mut rules = rules;
        FaultProxy::choosing("127.0.0.1:0", upstream, move |seen| {
            let rule =
                rules.iter_mut().find(|rule| seen.path.contains(rule.path) && (rule.after > 0 || rule.times > 0))?;
            if rule.after > 0 {
                rule.after -= 1;
                return None;
            }
            rule.times -= 1;
            Some(rule.fault.clone())
        })
    }

    /// Listens at `address`, and asks `choose` what to do with each request.
    pub fn choosing(
        address: &str,
        upstream: &str,
        choose: impl FnMut(&Seen) -> Option<Fault> + Send + 'static,
    ) -> FaultProxy {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let choose: Arc<Mutex<Box<Chooser>>> = Arc::new(Mutex::new(Box::new(choose)));
        let (upstream, log) = (upstream.to_owned(), Arc::clone(&seen));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (upstream, log, choose) = (upstream.clone(), Arc::clone(&log), Arc::clone(&choose));
                thread::spawn(move || serve(client, &upstream, &log, &choose));
            }
        });
        FaultProxy { address, seen }
    }

    /// The requests whose path has this text in it.
    pub fn asked(&self, path: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.path.contains(path)).cloned().collect()
    }
}

/// Serves one request and closes the connection.
fn serve(mut client: TcpStream, upstream: &str, log: &Mutex<Vec<Seen>>, choose: &Mutex<Box<Chooser>>) -> Option<()> {
    let head = head_of(&mut BufReader::new(client.try_clone().ok()?))?;
    let path = head.first()?.split(' ').nth(1)?.to_owned();
    let from = header(&head, "range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let seen = Seen { path, authorization: header(&head, "authorization"), from: from.unwrap_or(0), sent: 0 };
    let fault = (choose.lock().unwrap())(&seen);
    let number = {
        let mut log = log.lock().unwrap();
        log.push(seen);
        log.len() - 1
    };
    match &fault {
        Some(Fault::Says(answer)) => return client.write_all(answer.as_bytes()).ok(),
        Some(Fault::Endless(headers)) => {
            client.write_all(format!("HTTP/1.1 {headers}\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes()).ok()?;
            let piece = [b"10000\r\n".as_slice(), &[b'a'; 0x10000], b"\r\n"].concat();
            while client.write_all(&piece).is_ok() {
                log.lock().unwrap()[number].sent += 0x10000;
            }
            return Some(());
        }
        _ => {}
    }
    let mut server = TcpStream::connect(upstream).ok()?;
    let ignores = matches!(fault, Some(Fault::IgnoreRange));
    for line in &head {
        let name = line.split(':').next()?.to_ascii_lowercase();
        if name != "connection" && !(ignores && name == "range") {
            write!(server, "{line}\r\n").ok()?;
        }
    }
    write!(server, "Connection: close\r\n\r\n").ok()?;
    let mut answer = BufReader::new(server);
    for line in head_of(&mut answer)? {
        match &fault {
            Some(Fault::LieAboutRange(at)) if line.to_ascii_lowercase().starts_with("content-range") => {
                write!(client, "Content-Range: bytes {at}-99999999/*\r\n").ok()?;
            }
            _ => write!(client, "{line}\r\n").ok()?,
        }
    }
    write!(client, "\r\n").ok()?;
    let sent = body(&mut answer, &mut client, fault.as_ref(), |sent| log.lock().unwrap()[number].sent = sent);
    if let (Some(()), Some(Fault::Reset(_))) = (sent, &fault) {
        // What was sent has arrived by then. Closed with this, a socket sends RST.
        thread::sleep(Duration::from_millis(5));
        rustix::net::sockopt::set_socket_linger(client.as_fd(), Some(Duration::ZERO)).ok()?;
        return Some(());
    }
    client.shutdown(Shutdown::Both).ok()
}

/// Passes a body on, as far as the fault lets it.
fn body(answer: &mut impl Read, client: &mut TcpStream, fault: Option<&Fault>, note: impl Fn(usize)) -> Option<()> {
    let end = match fault {
        Some(Fault::Reset(end) | Fault::Cut(end)) => *end,
        _ => usize::MAX,
    };
    let (mut sent, mut chunk) = (0, [0; 8192]);
    while sent < end {
        let most = chunk.len().min(end - sent);
        let length = answer.read(&mut chunk[..most]).ok()?;
        if length == 0 {
            return Some(());
        }
        match fault {
            Some(Fault::Flip(at)) if (sent..sent + length).contains(at) => chunk[at - sent] ^= 1,
            _ => {}
        }
        client.write_all(&chunk[..length]).ok()?;
        sent += length;
        note(sent);
    }
    Some(())
}

/// Reads lines up to an empty one.
fn head_of(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        match line.trim_end() {
            "" => return Some(lines),
            line => lines.push(line.to_owned()),
        }
    }
}

fn header(lines: &[String], name: &str) -> Option<String> {
    let line = lines.iter().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
