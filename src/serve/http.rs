//! A server of HTTP for the files of `/`, which is the netboot folder: GET and HEAD, whole or in parts.

use crate::error::Result;
use crate::serve::clients::Clients;
use crate::words::units::Bytes;
use anyhow::Context as _;
use http_body_util::Empty;
use hyper::body::{Body, Bytes as Chunk, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tower_http::services::ServeDir;
use tower_http::services::fs::ServeFileSystemResponseBody;

/// Time for a request to come, from the first byte of a connection, or the end of the request before.
const TO_ASK: Duration = Duration::from_secs(60);
/// The most connections at a time: each of a rack's machines has a few.
const CONNECTIONS: usize = 400; // with a file each, below the usual limit of 1024 descriptors
/// The most connections of one address at a time: one that opens many must not keep the others out.
const OF_ONE: usize = 40;
/// Time between two lines about one file.
const EVERY: Duration = Duration::from_secs(10);
/// Pause after the system had no descriptor for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves at the path `prefix`, and never ends.
pub async fn serve(listener: TcpListener, prefix: &str, clients: Arc<Clients>) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener).context("preparing the server of HTTP")?;
    let (files, prefix): (_, Arc<str>) = (ServeDir::new("/").append_index_html_on_directories(false), prefix.into());
    let (room, counts) = (Arc::new(Semaphore::new(CONNECTIONS)), Arc::default());
    loop {
        let held = Arc::clone(&room).acquire_owned().await.context("waiting for a connection to end")?;
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                clients.line(format!("a connection failed: {error}"));
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(counted) = Counted::one_more(&counts, peer.ip()) else {
            clients.report(peer.ip(), &format!("has {OF_ONE} connections already, and gets no more"));
            continue;
        };
        let (files, prefix, clients) = (files.clone(), Arc::clone(&prefix), Arc::clone(&clients));
        tokio::spawn(async move {
            let _held = (held, counted);
            let progress = Arc::new(Mutex::new(Instant::now()));
            let whom = (&clients, peer.ip());
            let service = service_fn(|request| answer(request, files.clone(), &prefix, (whom.0, whom.1, &progress)));
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(TO_ASK);
            // A machine that goes away in the middle is seen where its file ends.
            tokio::select! {
                _ = http.serve_connection(TokioIo::new(stream), service) => {}
                () = stalled(&progress) => {}
            }
        });
    }
}

/// Connections by their addresses.
type Counts = Mutex<BTreeMap<IpAddr, usize>>;

/// A connection that is counted as long as this lives.
struct Counted(Arc<Counts>, IpAddr);

impl Counted {
    /// Counts one more of an address; `None` if it has as many as it may.
    fn one_more(counts: &Arc<Counts>, address: IpAddr) -> Option<Counted> {
        let mut known = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = known.entry(address).or_default();
        let has_room = *count < OF_ONE;
        if has_room {
            *count += 1;
        }
        has_room.then(|| Counted(Arc::clone(counts), address))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = known.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                known.remove(&self.1);
            }
        }
    }
}

/// Waits until nothing was asked for, or taken, for some time: a machine that went away must not keep others out.
async fn stalled(progress: &Mutex<Instant>) {
    loop {
        let since = progress.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        if since > TO_ASK {
            return;
        }
        tokio::time::sleep(TO_ASK.saturating_sub(since) + PAUSE).await;
    }
}

/// Answers a request.
async fn answer(
    request: Request<Incoming>,
    mut files: ServeDir,
    prefix: &str,
    (clients, address, progress): (&Arc<Clients>, IpAddr, &Arc<Mutex<Instant>>),
) -> std::result::Result<Response<Sent>, Infallible> {
    let path = request.uri().path().to_owned();
    *progress.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    let within = path.strip_prefix(prefix).filter(|rest| rest.starts_with('/')).unwrap_or("/").to_owned();
    if let Some(mac) = within.strip_prefix("/by-mac/").and_then(|rest| rest.split('/').next()) {
        clients.note(address, mac);
    }
    let is_get = request.method() == Method::GET;
    let (mut head, _) = request.into_parts();
    let found = within.parse::<Uri>().map(|uri| head.uri = uri);
    let response = match found {
        Ok(()) => files.try_call(Request::from_parts(head, Empty::<Chunk>::new())).await,
        Err(error) => Err(std::io::Error::other(error)),
    };
    let response = response.unwrap_or_else(|error| {
        clients.report(address, &format!("{within}: {error}"));
        let mut response = Response::new(ServeFileSystemResponseBody::default());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    });
    let status = response.status();
    if !status.is_success() && status != StatusCode::NOT_MODIFIED {
        let why = if status == StatusCode::NOT_FOUND { "is not there" } else { "is refused" };
        let where_asked =
            if path.starts_with(prefix) { within.clone() } else { format!("{path}, which is not below {prefix},") };
        clients.report(address, &format!("{where_asked} {why} ({})", status.as_u16()));
    }
    let length = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let of = part(response.headers()).map(|part| format!(" (bytes {part})")).unwrap_or_default();
    let what = format!("{}{of}", within.trim_start_matches('/'));
    let tells = is_get && status.is_success();
    Ok(response.map(|body| {
        let total = length.unwrap_or_default();
        let (clients, progress) = (Arc::clone(clients), Arc::clone(progress));
        Sent { body, total, count: 0, said: Instant::now(), progress, what, tells, clients, address }
    }))
}

/// Returns the part of a file that an answer has, as its header says.
fn part(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")
}

/// The body of an answer, which says how much of it was sent.
struct Sent {
    body: ServeFileSystemResponseBody,
    /// Length in bytes.
    total: u64,
    /// Bytes that were handed to the connection.
    count: u64,
    /// Time of the last line about it.
    said: Instant,
    /// Time at which the connection took something.
    progress: Arc<Mutex<Instant>>,
    what: String,
    /// Set for a successful GET.
    tells: bool,
    clients: Arc<Clients>,
    address: IpAddr,
}

impl Sent {
    fn report(&mut self, how: &str) {
        self.said = Instant::now();
        let Sent { count, total, what, .. } = self;
        let share = if count == total { String::new() } else { format!(" of {}", Bytes(*total)) };
        self.clients.report(self.address, &format!("{what} {}{share}{how}", Bytes(*count)));
    }
}

impl Body for Sent {
    type Data = Chunk;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context,
    ) -> Poll<Option<std::result::Result<Frame<Chunk>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            self.count += frame.data_ref().map_or(0, |data| data.len() as u64);
            if self.tells && self.count < self.total && self.said.elapsed() > EVERY {
                self.report("");
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if self.tells {
            let how = if self.count == self.total { "" } else { ", broken off" };
            self.report(how);
        }
    }
}
