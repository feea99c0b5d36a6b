//! A real registry behind a proxy that does something wrong, with TLS, a password and tokens: permanent faults end in an error that names the cause, transient
//! ones are retried, and credentials are not sent to other hosts.

use crate::cli::images;
use crate::support::certificate::Certificate;
use crate::support::fault_proxy::{Fault, FaultProxy, Rule};
use crate::support::program::{Run, assert_nothing_left, command, ended, write_private};
use crate::support::upstream::Upstream;
use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, OnceLock};

/// Size of the image's only layer, about.
const LAYER: usize = 1 << 20;
/// The error of an image that was fetched whole, and has no kernel.
const FETCHED: [&str; 1] = ["it has no kernel"];

impl Upstream {
    /// Starts a registry with one image in it.
    fn with_image() -> Upstream {
        Upstream::start().filled()
    }

    fn filled(self) -> Upstream {
        let upstream = self;
        images::bulky(LAYER).write(&upstream.folder.path().join("image"), "1");
        upstream.push(&upstream.folder.path().join("image"), "x/y:1");
        upstream
    }

    fn behind(&self, rules: &[Rule]) -> FaultProxy {
        FaultProxy::start(&self.address, rules.to_vec())
    }

    fn pull(&self, host: &str, environment: &[(&str, &str)]) -> Run {
        self.pull_with(host, &[], environment)
    }

    fn pull_with(&self, host: &str, more: &[&str], environment: &[(&str, &str)]) -> Run {
        let work = self.folder.path().join("work");
        let _ = fs::create_dir(&work);
        let slot = format!("--slot=a=docker://{host}/x/y:1");
        let mut create = command(&work, &["create", "d.raw", "--size=600MiB", "--no-cache", "--progress=none", &slot]);
        let run = ended(create.args(more).envs(environment.iter().copied()));
        assert_nothing_left(&work, &[]);
        run
    }

    /// A file with a login for `host`.
    fn login(&self, host: &str) -> String {
        let path = self.folder.path().join("auth.json");
        write_private(&path, &format!(r#"{{"auths":{{"{host}":{{"auth":"dXNlcjpzZWNyZXQ="}}}}}}"#));
        path.to_string_lossy().into_owned()
    }
}

/// A rule for requests of the manifest.
fn manifest(times: usize, fault: Fault) -> Rule {
    Rule { path: "/manifests/", after: 0, times, fault }
}

/// A rule for requests of the layer, the second blob that is requested.
fn layer(times: usize, fault: Fault) -> Rule {
    Rule { path: "/blobs/", after: 1, times, fault }
}

/// A rule for the next requests of a blob.
fn then(times: usize, fault: Fault) -> Rule {
    Rule { path: "/blobs/", after: 0, times, fault }
}

fn says(status: &str, headers: &str, body: &str) -> Fault {
    let headers = if headers.is_empty() { String::new() } else { format!("{headers}\r\n") };
    Fault::Says(format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()))
}

/// An address of this machine that is not its loopback, where a stranger could be as well.
fn outside() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: this chooses a route.
    socket.connect("192.0.2.1:9").expect("the tests need a network card with an address");
    socket.local_addr().unwrap().ip()
}

/// A name, the rules of the proxy, and what the error says.
type Script = (&'static str, Vec<Rule>, &'static [&'static str]);

/// Answers without a body.
fn answers() -> Vec<Script> {
    let busy = says("503 Service Unavailable", "", "");
    vec![
        ("nothing", vec![], &FETCHED),
        ("503 before the manifest", vec![manifest(2, busy.clone())], &FETCHED),
        (
            "500, 502 and 504 before the layer",
            ["500 x", "502 x", "504 x"].map(|s| says(s, "", "")).map(|f| layer(1, f)).into(),
            &FETCHED,
        ),
        ("429 with a time", vec![layer(1, says("429 Too Many Requests", "Retry-After: 1", ""))], &FETCHED),
        ("429 with a date", vec![layer(1, says("429 x", "Retry-After: Fri, 31 Dec 2036 23:59:59 GMT", ""))], &FETCHED),
        ("503 for ever", vec![manifest(99, busy)], &["answers 503", "after 5 retries"]),
        (
            "no manifest",
            vec![manifest(1, says("404 x", "", r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"m"}]}"#))],
            &["has no such image: MANIFEST_UNKNOWN: m"],
        ),
        ("no layer", vec![layer(1, says("404 x", "", ""))], &["has no such image"]),
        ("400", vec![manifest(1, says("400 x", "", ""))], &["answers 400"]),
        ("405", vec![manifest(1, says("405 x", "", ""))], &["answers 405"]),
        ("410", vec![layer(1, says("410 x", "", ""))], &["answers 410"]),
        ("451", vec![layer(1, says("451 x", "", ""))], &["answers 451"]),
        ("204", vec![manifest(1, says("204 x", "", ""))], &["answers 204"]),
        ("408 once", vec![layer(1, says("408 x", "", ""))], &FETCHED),
        ("429 without a pause", vec![layer(1, says("429 x", "Retry-After: 0", ""))], &FETCHED),
        ("503 with a pause below zero", vec![layer(1, says("503 x", "Retry-After: -5", ""))], &FETCHED),
        ("500 for ever", vec![layer(99, says("500 x", "", ""))], &["answers 500", "after 5 retries"]),
        ("503 before the config", vec![then(1, says("503 x", "", ""))], &FETCHED),
        ("no config", vec![then(1, says("404 x", "", ""))], &["has no such image"]),
    ]
}

/// Transfers that are interrupted, or changed on the way.
fn interruptions() -> Vec<Script> {
    vec![
        ("reset at the first byte", vec![layer(1, Fault::Reset(1))], &FETCHED),
        ("reset before the first byte", vec![layer(1, Fault::Reset(0))], &FETCHED),
        ("reset in the middle", vec![layer(1, Fault::Reset(LAYER / 2))], &FETCHED),
        ("cut in the middle", vec![layer(2, Fault::Cut(LAYER / 3))], &FETCHED),
        ("cut before the first byte, for ever", vec![layer(99, Fault::Cut(0))], &["downloading", "after 5 retries"]),
        ("a cut config", vec![then(1, Fault::Cut(10))], &FETCHED),
        ("another bit", vec![layer(1, Fault::Flip(4711))], &["digest"]),
        ("another bit after a cut", vec![layer(1, Fault::Cut(9000)), then(1, Fault::Flip(5))], &["digest"]),
        ("a range that is ignored", vec![layer(1, Fault::Reset(700_000)), then(1, Fault::IgnoreRange)], &FETCHED),
        ("ranges that are ignored", vec![layer(3, Fault::Cut(300_000)), then(9, Fault::IgnoreRange)], &FETCHED),
        (
            "a range that begins later",
            vec![layer(1, Fault::Cut(9000)), then(1, Fault::LieAboutRange(1 << 30))],
            &FETCHED,
        ),
        ("a range that began earlier", vec![layer(1, Fault::Cut(9000)), then(1, Fault::LieAboutRange(5))], &["digest"]),
        ("no such range", vec![layer(1, Fault::Cut(9000)), then(1, says("416 x", "", ""))], &["answers 416"]),
        ("another first bit", vec![layer(1, Fault::Flip(0))], &["layer 1 of 1"]),
        ("another last bit", vec![layer(1, Fault::Flip(LAYER))], &["digest"]),
        ("another bit of the config", vec![then(1, Fault::Flip(20))], &["hashes to something else"]),
        ("a cut manifest", vec![manifest(1, Fault::Cut(100))], &FETCHED),
        ("a manifest that is cut for ever", vec![manifest(99, Fault::Cut(100))], &["after 5 retries"]),
        ("a reset before the manifest", vec![manifest(1, Fault::Reset(0))], &FETCHED),
        ("a layer that ends early", vec![layer(1, says("200 OK", "", "short"))], &["layer 1 of 1"]),
        ("a range that is none", vec![layer(1, says("206 x", "Content-Range: bytes x-y/z", "abc"))], &FETCHED),
    ]
}

/// Demands for a login, and redirects.
fn logins_and_redirects() -> Vec<Script> {
    let to = |place: &str| says("302 Found", &format!("Location: {place}"), "");
    vec![
        ("403", vec![manifest(1, says("403 x", "", ""))], &["refuses the credentials"]),
        (
            "401 without a challenge",
            vec![manifest(9, says("401 x", "", ""))],
            &["refuses the credentials, or requires some"],
        ),
        (
            "401 with an odd one",
            vec![manifest(9, says("401 x", "WWW-Authenticate: Bearer realm=\"", ""))],
            &["refuses the credentials, or requires some"],
        ),
        (
            "401 with a realm that is none",
            vec![manifest(9, says("401 x", "WWW-Authenticate: Bearer realm=\"x\"", ""))],
            &["refuses the credentials, or requires some"],
        ),
        ("a redirect to the same", vec![manifest(9, to("/v2/x/y/manifests/1"))], &["redirects more than 5 times"]),
        ("a redirect to no address", vec![manifest(1, says("302 x", "", ""))], &["has no valid Location"]),
        ("a redirect to a file", vec![manifest(1, to("file:///etc/shadow"))], &["redirects to file:///etc/shadow"]),
        ("301 to the same blob", vec![layer(1, says("301 x", "Location: ?again", ""))], &FETCHED),
        ("303 to the same blob", vec![layer(1, says("303 x", "Location: ?again", ""))], &FETCHED),
        ("307 to the same blob", vec![layer(1, says("307 x", "Location: ?again", ""))], &FETCHED),
        ("308 to the same blob", vec![layer(1, says("308 x", "Location: ?again", ""))], &FETCHED),
        ("five redirects", vec![manifest(5, to("?again"))], &FETCHED),
        ("more redirects", vec![manifest(99, to("?again"))], &["redirects more than 5 times"]),
        ("a redirect to ftp", vec![layer(1, to("ftp://x/y"))], &["redirects to ftp://x/y"]),
        (
            "a redirect to the cloud",
            vec![layer(1, to("http://169.254.169.254/x"))],
            &["redirects to http://169.254.169.254/x"],
        ),
    ]
}

/// Bodies that are too long, or something else.
fn odd_bodies() -> Vec<Script> {
    vec![
        (
            "an endless manifest",
            vec![manifest(1, Fault::Endless("200 OK"))],
            &["a document of more than 4194304 bytes"],
        ),
        ("an endless error", vec![manifest(1, Fault::Endless("400 Bad Request"))], &["answers 400"]),
        (
            "an escape sequence",
            vec![manifest(1, says("404 x", "", "\x1b]0;PWNED\x07"))],
            &["has no such image: \\u{1b}]0;PWNED"],
        ),
        ("an empty manifest", vec![manifest(1, says("200 OK", "", ""))], &["as JSON"]),
        ("a page", vec![manifest(1, says("200 OK", "Content-Type: text/html", "<html>"))], &["as JSON"]),
        ("deep JSON", vec![manifest(1, says("200 OK", "", &"[".repeat(9000)))], &["as JSON"]),
        ("no JSON", vec![manifest(1, says("200 OK", "", "\0\u{1}"))], &["as JSON"]),
        ("no manifest at all", vec![manifest(1, says("200 OK", "", "{}"))], &["looking up"]),
        (
            "garbage",
            vec![manifest(9, Fault::Says("HTTP/9.9 what\r\n\r\n".to_owned()))],
            &["was interrupted", "after 5 retries"],
        ),
    ]
}

#[test]
fn c_faults_that_pass_are_survived_and_the_others_are_errors_that_name_the_cause() {
    let upstream = Upstream::with_password().filled();
    let certificate = Certificate::new(upstream.folder.path());
    let trusted = format!("--registry-ca={}", certificate.authority.display());
    let scripts = [answers(), interruptions(), logins_and_redirects(), odd_bodies()].concat();
    for (name, rules, sentences) in &scripts {
        let proxy = FaultProxy::with_tls_and_tokens(&upstream.address, &certificate, rules.clone());
        let login = upstream.login(&proxy.address);
        let run = upstream.pull_with(&proxy.address, &[&trusted], &[("REGISTRY_AUTH_FILE", &login)]);
        assert_eq!(run.code, 1, "{name}: {}", run.stderr);
        for sentence in *sentences {
            assert!(run.stderr.contains(sentence), "{name}: no '{sentence}' in:\n{}", run.stderr);
        }
        assert!(!run.stderr.contains('\x1b'), "{name}: {}", run.stderr);
        let sent: usize = proxy.seen.lock().unwrap().iter().map(|seen| seen.sent).sum();
        // The kernel takes some MiB that nobody reads.
        assert!(sent < 16 * LAYER, "{name}: {sent} bytes were sent");
        if *name == "nothing" {
            assert_eq!(proxy.asked("/blobs/").len(), 2, "the config and the layer, each once");
            assert_eq!(proxy.asked("/token").len(), 1, "one token for all of it");
        }
    }
}

#[test]
fn a_token_service_whose_address_is_none_is_told_as_such() {
    let upstream = Upstream::with_image();
    let proxy = upstream.behind(&[manifest(1, says("401 x", "WWW-Authenticate: Bearer realm=\"x\"", ""))]);
    upstream.pull(&proxy.address, &[]).must_end(1, &["the address of the token service"]);
}

#[test]
fn c7_a_pull_survives_five_hundred_resets_and_asks_for_little_again() {
    /// Resets of one pull.
    const RESETS: usize = 500;
    /// The most bytes that are asked for again after one: what the kernel had not handed on yet.
    const AGAIN: usize = 64 << 10;
    let upstream = Upstream::with_image();
    let (mut left, mut random) = (RESETS, 0x2545_f491_4f6c_dd1d_u64);
    let proxy = FaultProxy::choosing("127.0.0.1:0", &upstream.address, move |seen| {
        if !seen.path.contains("/blobs/") || left == 0 {
            return None;
        }
        left -= 1;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        Some(Fault::Reset(usize::try_from(random % 2000).unwrap()))
    });
    upstream.pull(&proxy.address, &[]).must_end(1, &FETCHED);
    let asked = proxy.asked("/blobs/");
    assert!(asked.len() > RESETS, "{}", asked.len());
    for pair in asked.windows(2).filter(|pair| pair[0].path == pair[1].path) {
        let end = pair[0].from + pair[0].sent;
        assert!(pair[1].from <= end && end - pair[1].from <= AGAIN, "{pair:?}");
    }
}

#[test]
fn c13_a_token_that_expires_in_the_middle_is_renewed_once() {
    let upstream = Upstream::with_image();
    let address = Arc::new(OnceLock::<String>::new());
    let (mut requests, own) = (0, Arc::clone(&address));
    let proxy = FaultProxy::choosing("127.0.0.1:0", &upstream.address, move |seen| {
        if seen.path.contains("/token") {
            requests += 1;
            return Some(says("200 OK", "", &format!(r#"{{"access_token":"t{requests}"}}"#)));
        }
        // Each token is good until the next connection after a cut.
        if seen.authorization.as_deref() != Some(&format!("Bearer t{requests}")) || (seen.from > 0 && requests == 1) {
            let host = own.get().unwrap();
            let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"s\"");
            return Some(says("401 x", &challenge, ""));
        }
        (seen.path.contains("/blobs/") && requests == 1 && seen.from == 0).then_some(Fault::Cut(LAYER / 2))
    });
    address.set(proxy.address.clone()).unwrap();
    upstream.pull(&proxy.address, &[]).must_end(1, &FETCHED);
    let tokens = proxy.asked("/token");
    assert_eq!(tokens.len(), 2, "{tokens:?}");
    assert!(tokens[0].path.contains("scope=repository%3Ax%2Fy%3Apull"), "{tokens:?}");
}

#[test]
fn c2_c3_credentials_reach_nobody_but_the_registry() {
    let upstream = Upstream::with_image();
    let honeypot = FaultProxy::choosing(&format!("{}:0", outside()), &upstream.address, |_| None);
    let basic = says("401 x", "WWW-Authenticate: Basic realm=\"x\"", "");
    let login = |proxy: &FaultProxy| upstream.login(&proxy.address);

    let realm = format!("WWW-Authenticate: Bearer realm=\"http://{}/token\"", honeypot.address);
    let proxy = upstream.behind(&[manifest(9, says("401 x", &realm, ""))]);
    let run = upstream.pull(&proxy.address, &[("REGISTRY_AUTH_FILE", &login(&proxy))]);
    run.must_end(3, &["wants the credentials sent to", "without TLS"]);
    assert!(honeypot.asked("").is_empty(), "{:?}", honeypot.asked(""));

    // What the registry itself wants, it gets; where it sends the client on, nothing of it goes along.
    let away = |path: &str| says("307 x", &format!("Location: http://{}{path}", honeypot.address), "");
    let proxy = upstream.behind(&[manifest(1, basic.clone()), manifest(1, away("/v2/x/y/manifests/1"))]);
    let run = upstream.pull(&proxy.address, &[("REGISTRY_AUTH_FILE", &login(&proxy))]);
    run.must_end(1, &FETCHED);
    assert_eq!(proxy.asked("/manifests/").last().unwrap().authorization.as_deref(), Some("Basic dXNlcjpzZWNyZXQ="));
    assert_eq!(honeypot.asked("/manifests/").len(), 1);

    // A proxy is for other machines.
    let proxy = upstream.behind(&[manifest(1, basic)]);
    let through = format!("http://{}", honeypot.address);
    let environment = [("REGISTRY_AUTH_FILE", &*login(&proxy)), ("http_proxy", &through), ("HTTP_PROXY", &through)];
    upstream.pull(&proxy.address, &environment).must_end(1, &FETCHED);
    assert_eq!(honeypot.asked("").len(), 1, "{:?}", honeypot.asked(""));
    assert!(honeypot.asked("").iter().all(|seen| seen.authorization.is_none()), "{:?}", honeypot.asked(""));
}
