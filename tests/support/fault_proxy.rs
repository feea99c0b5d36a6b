//! A proxy in front of a real registry, which does something wrong where a script tells it to, and notes every request
//! that it gets. It may speak TLS, and be the registry's token server as well.

use crate::support::certificate::Certificate;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, BufRead, BufReader, Read, Write};
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

/// The login that [`FaultProxy::with_tls_and_tokens`] asks for: user:secret.
pub const LOGIN: &str = "Basic dXNlcjpzZWNyZXQ=";

type Chooser = dyn FnMut(&Seen) -> Option<Fault> + Send;

/// What the proxy is in front of, and how it is spoken to.
#[derive(Clone)]
struct Way {
    /// host:port of the registry.
    upstream: String,
    /// What the registry itself gets as Authorization, instead of what came.
    login: Option<&'static str>,
    tls: Option<Arc<ServerConfig>>,
}

/// A client's connection.
enum Connection {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Connection {
    fn socket(&self) -> &TcpStream {
        match self {
            Connection::Plain(socket) => socket,
            Connection::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Connection {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Connection::Plain(socket) => socket.read(bytes),
            Connection::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Connection::Plain(socket) => socket.write(bytes),
            Connection::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Connection::Plain(socket) => socket.flush(),
            Connection::Tls(stream) => stream.flush(),
        }
    }
}

impl FaultProxy {
    /// Stands in front of `upstream` (host:port) and follows the rules.
    pub fn start(upstream: &str, rules: Vec<Rule>) -> FaultProxy {
        let mut rules = rules;
        FaultProxy::choosing("127.0.0.1:0", upstream, move |seen| following(&mut rules, seen))
    }

    /// Speaks TLS, hands out a token for [`LOGIN`], and follows the rules for those who have it. The registry behind it
    /// checks the same login.
    pub fn with_tls_and_tokens(upstream: &str, certificate: &Certificate, rules: Vec<Rule>) -> FaultProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut rules, address) = (rules, listener.local_addr().unwrap());
        let challenge = format!("WWW-Authenticate: Bearer realm=\"https://{address}/token\",service=\"s\"");
        let says = |status, header: &str, body: &str| {
            let length = body.len();
            Some(Fault::Says(format!("HTTP/1.1 {status}\r\n{header}\r\nContent-Length: {length}\r\n\r\n{body}")))
        };
        let way = Way { upstream: upstream.to_owned(), login: Some(LOGIN), tls: Some(certificate.server()) };
        FaultProxy::listening(listener, way, move |seen| match seen.authorization.as_deref() {
            Some(LOGIN) if seen.path.starts_with("/token") => says("200 OK", "X: y", r#"{"token":"good"}"#),
            Some("Bearer good") => following(&mut rules, seen),
            _ => says("401 Unauthorized", &challenge, ""),
        })
    }

    /// Listens at `address`, and asks `choose` what to do with each request.
    pub fn choosing(
        address: &str,
        upstream: &str,
        choose: impl FnMut(&Seen) -> Option<Fault> + Send + 'static,
    ) -> FaultProxy {
        let way = Way { upstream: upstream.to_owned(), login: None, tls: None };
        FaultProxy::listening(TcpListener::bind(address).unwrap(), way, choose)
    }

    fn listening(
        listener: TcpListener,
        way: Way,
        choose: impl FnMut(&Seen) -> Option<Fault> + Send + 'static,
    ) -> FaultProxy {
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let choose: Arc<Mutex<Box<Chooser>>> = Arc::new(Mutex::new(Box::new(choose)));
        let log = Arc::clone(&seen);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (way, log, choose) = (way.clone(), Arc::clone(&log), Arc::clone(&choose));
                thread::spawn(move || serve(client, &way, &log, &choose));
            }
        });
        FaultProxy { address, seen }
    }

    /// The requests whose path has this text in it.
    pub fn asked(&self, path: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.path.contains(path)).cloned().collect()
    }
}

/// Returns the fault of the first rule that is for this request.
fn following(rules: &mut [Rule], seen: &Seen) -> Option<Fault> {
    let rule = rules.iter_mut().find(|rule| seen.path.contains(rule.path) && (rule.after > 0 || rule.times > 0))?;
    if rule.after > 0 {
        rule.after -= 1;
        return None;
    }
    rule.times -= 1;
    Some(rule.fault.clone())
}

/// Serves one request and closes the connection.
fn serve(client: TcpStream, way: &Way, log: &Mutex<Vec<Seen>>, choose: &Mutex<Box<Chooser>>) -> Option<()> {
    let mut client = match &way.tls {
        None => Connection::Plain(client),
        Some(tls) => {
            let session = ServerConnection::new(Arc::clone(tls)).ok()?;
            Connection::Tls(Box::new(StreamOwned::new(session, client)))
        }
    };
    let head = head_of(&mut BufReader::new(&mut client))?;
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
        Some(Fault::Says(answer)) => return client.write_all(answer.as_bytes()).and_then(|()| client.flush()).ok(),
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
    let server = ask(&head, way, matches!(fault, Some(Fault::IgnoreRange)))?;
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
        rustix::net::sockopt::set_socket_linger(client.socket().as_fd(), Some(Duration::ZERO)).ok()?;
        return Some(());
    }
    client.socket().shutdown(Shutdown::Both).ok()
}

/// Sends a request on to the registry.
fn ask(head: &[String], way: &Way, ignores_range: bool) -> Option<TcpStream> {
    let mut server = TcpStream::connect(&way.upstream).ok()?;
    for line in head {
        match line.split(':').next()?.to_ascii_lowercase().as_str() {
            "connection" => {}
            "range" if ignores_range => {}
            "authorization" if way.login.is_some() => write!(server, "Authorization: {}\r\n", way.login?).ok()?,
            _ => write!(server, "{line}\r\n").ok()?,
        }
    }
    write!(server, "Connection: close\r\n\r\n").ok()?;
    Some(server)
}

/// Passes a body on, as far as the fault lets it.
fn body(answer: &mut impl Read, client: &mut impl Write, fault: Option<&Fault>, note: impl Fn(usize)) -> Option<()> {
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
