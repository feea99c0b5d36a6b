//! Registries: a real one with passwords and TLS, and one that misbehaves.

use crate::cli::images;
use crate::support::certificate::Certificate;
use crate::support::layout::Packing;
use crate::support::program::{Guard, Run, assert_nothing_left, command, ended, tool, write_private};
use crate::support::registry::{Fault, Registry};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Runs `create` from docker://host/x/y:1; the images here fetch whole and then lack a kernel,
/// which is how a test knows that everything before went right.
fn create(folder: &Path, host: &str, more: &[&str], environment: &[(&str, &str)]) -> Run {
    create_tag(folder, (host, "1"), more, environment)
}

fn create_tag(folder: &Path, (host, tag): (&str, &str), more: &[&str], environment: &[(&str, &str)]) -> Run {
    let slot = format!("--slot=a=docker://{host}/x/y:{tag}");
    let mut create = command(folder, &["create", "d.raw", "--size=600MiB", "--no-cache", "--progress=none", &slot]);
    ended(create.args(more).envs(environment.iter().copied()))
}

const FETCHED: [&str; 2] = ["would not come up", "it has no kernel"];

#[test]
fn c7_c8_a_transfer_that_breaks_off_goes_on_where_it_was() {
    for fault in [Fault::None, Fault::CutOnce(700_000), Fault::CutOnceAndRestart(700_000)] {
        let folder = tempfile::tempdir().unwrap();
        images::bulky(3 << 20).write(&folder.path().join("image"), "1");
        let registry = Registry::start(&folder.path().join("image"), fault);
        create(folder.path(), &registry.address, &[], &[]).must_end(1, &FETCHED);
        assert_nothing_left(folder.path(), &["image"]);
    }
}

#[test]
fn a_plan_says_how_much_a_registry_will_be_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    images::bulky(3 << 20).write(&folder.path().join("image"), "1");
    let registry = Registry::start(&folder.path().join("image"), Fault::None);
    let run = create(folder.path(), &registry.address, &["--dry-run", "--json"], &[]);
    run.must_end(0, &[]);
    let plan: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(plan["bytes_to_fetch"], plan["images"][0]["stored_bytes"]);
    assert!(plan["bytes_to_fetch"].as_u64().unwrap() > 3 << 20, "{plan}");
    let asked = registry.requests.lock().unwrap().join("\n");
    assert_eq!(asked.matches("/blobs/").count(), 1, "the config alone: {asked}");
    assert_nothing_left(folder.path(), &["image"]);
}

#[test]
fn a_bearer_token_is_fetched_and_used() {
    let folder = tempfile::tempdir().unwrap();
    images::no_kernel().write(&folder.path().join("image"), "1");
    let registry = Registry::start(&folder.path().join("image"), Fault::Bearer);
    create(folder.path(), &registry.address, &[], &[]).must_end(1, &FETCHED);
    let requests = registry.requests.lock().unwrap().join("\n");
    assert!(requests.contains("/blobs/sha256:") && requests.contains("Bearer the-token"), "{requests}");
}

#[test]
fn a_system_without_certificate_authorities_can_pull_too() {
    let folder = tempfile::tempdir().unwrap();
    images::no_kernel().write(&folder.path().join("image"), "1");
    let registry = Registry::start(&folder.path().join("image"), Fault::None);
    let none = [("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/dev/null")];
    create(folder.path(), &registry.address, &[], &none).must_end(1, &FETCHED);
}

#[test]
fn names_are_resolved_without_the_c_library() {
    let folder = tempfile::tempdir().unwrap();
    images::no_kernel().write(&folder.path().join("image"), "1");
    let registry = Registry::start(&folder.path().join("image"), Fault::None);
    let (_, port) = registry.address.rsplit_once(':').unwrap();
    create(folder.path(), &format!("localhost:{port}"), &[], &[]).must_end(1, &FETCHED);
    create(folder.path(), &format!("no-such-host.invalid:{port}"), &[], &[]).must_end(1, &["no-such-host.invalid"]);
}

#[test]
fn b12_a_tag_is_looked_up_once() {
    let folder = tempfile::tempdir().unwrap();
    images::no_kernel().write(&folder.path().join("image"), "1");
    let registry = Registry::start(&folder.path().join("image"), Fault::MovingTag);
    create(folder.path(), &registry.address, &[], &[]).must_end(1, &FETCHED);
    let looks = registry.requests.lock().unwrap().iter().filter(|request| request.contains("/manifests/")).count();
    assert_eq!(looks, 1);
}

#[test]
fn c12_without_tls_only_this_machine_is_spoken_to() {
    let folder = tempfile::tempdir().unwrap();
    // 192.0.2.1 is for documentation (RFC 5737): nobody answers, and nothing must be sent there.
    let auth = folder.path().join("auth.json");
    write_private(&auth, r#"{"auths":{"192.0.2.1:5000":{"auth":"dXNlcjpzZWNyZXQ="}}}"#);
    let environment = [("REGISTRY_AUTH_FILE", auth.to_str().unwrap())];
    let run = create(folder.path(), "192.0.2.1:5000", &["--plain-http=192.0.2.1:5000"], &environment);
    run.must_end(3, &["without TLS, anyone on the way could read the credentials"]);
    assert!(!run.stderr.contains("secret"));
}

/// Debian's docker-registry with a password and a certificate of its own.
struct Real {
    _process: Guard,
    host: String,
    authority: String,
}

#[allow(clippy::disallowed_methods)] // tests start programs by themselves
fn real(folder: &Path) -> Real {
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let Certificate { authority, certificate, key } = Certificate::new(folder);
    fs::write(path("htpasswd"), tool("htpasswd", &["-Bbn", "user", "secret"])).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}', tls: {{certificate: {}, key: {}}}}}\nauth: {{htpasswd: {{realm: test, path: {}}}}}\n",
        path("data"),
        certificate.display(),
        key.display(),
        path("htpasswd")
    );
    fs::write(path("config.yml"), config).unwrap();
    let mut server = std::process::Command::new("docker-registry");
    let server = server.args(["serve", &path("config.yml")]).stdout(Stdio::null()).stderr(Stdio::null());
    let process = Guard(server.spawn().expect("docker-registry is installed"));
    let host = format!("127.0.0.1:{port}");
    let begin = Instant::now();
    while std::net::TcpStream::connect(&host).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(300), "the registry does not come up");
        std::thread::sleep(Duration::from_millis(50));
    }
    images::no_kernel_as(Packing::Zstd).write(&folder.join("zstd"), "1");
    let push = |more: &[&str], layout: &str, tag: &str| {
        let (from, to) = (format!("oci:{}:1", path(layout)), format!("docker://{host}/x/y:{tag}"));
        let fixed = ["copy", "-q", "--dest-tls-verify=false", "--dest-creds=user:secret"];
        tool("skopeo", &[&fixed[..], more, &[&from, &to]].concat());
    };
    push(&[], "image", "1");
    push(&["--format=v2s2"], "image", "docker");
    push(&[], "zstd", "zstd");
    for (tag, form) in [("docker", "vnd.docker.distribution.manifest.v2"), ("zstd", "tar+zstd")] {
        let from = format!("docker://{host}/x/y:{tag}");
        let manifest = tool("skopeo", &["inspect", "--raw", "--tls-verify=false", "--creds=user:secret", &from]);
        assert!(manifest.contains(form), "{manifest}");
    }
    Real { _process: process, host, authority: authority.to_string_lossy().into_owned() }
}

#[test]
fn a_registry_with_a_password_and_its_own_certificate() {
    let folder = tempfile::tempdir().unwrap();
    images::no_kernel().write(&folder.path().join("image"), "1");
    let server = tempfile::tempdir().unwrap();
    images::no_kernel().write(&server.path().join("image"), "1");
    let Real { host, authority, .. } = &real(server.path());
    let trusted = format!("--registry-ca={authority}");
    let auth = |secret: &str| {
        // "user:secret" and "user:wrong" in base64.
        let encoded = if secret == "secret" { "dXNlcjpzZWNyZXQ=" } else { "dXNlcjp3cm9uZw==" };
        let place = server.path().join(secret);
        fs::create_dir_all(&place).unwrap();
        let text = format!(r#"{{"auths":{{"{host}":{{"auth":"{encoded}"}}}}}}"#);
        write_private(&place.join("config.json"), &text);
        place
    };
    let podman = auth("secret").join("config.json");
    create(folder.path(), host, &[&trusted], &[("REGISTRY_AUTH_FILE", podman.to_str().unwrap())]).must_end(1, &FETCHED);
    for tag in ["docker", "zstd"] {
        let environment = [("REGISTRY_AUTH_FILE", podman.to_str().unwrap())];
        create_tag(folder.path(), (host, tag), &[&trusted], &environment).must_end(1, &FETCHED);
    }
    create(folder.path(), host, &[&trusted], &[("DOCKER_CONFIG", auth("secret").to_str().unwrap())])
        .must_end(1, &FETCHED);

    let wrong = create(folder.path(), host, &[&trusted], &[("DOCKER_CONFIG", auth("wrong").to_str().unwrap())]);
    wrong.must_end(1, &["refuses the credentials", "podman login"]);
    assert!(
        !wrong.stderr.contains("wrong") && !wrong.stderr.contains("dXNlcjp"),
        "no secret is printed: {}",
        wrong.stderr
    );
    create(folder.path(), host, &[&trusted], &[]).must_end(1, &["refuses the credentials, or requires some"]);

    // The same by files that other tools keep: certificates by host, and a named file of credentials.
    let certificates = server.path().join(".config/containers/certs.d").join(host);
    fs::create_dir_all(&certificates).unwrap();
    fs::copy(authority, certificates.join("own.crt")).unwrap();
    let (home, file) = ([("HOME", server.path().to_str().unwrap())], format!("--authfile={}", podman.display()));
    create(folder.path(), host, &[&file], &home).must_end(1, &FETCHED);
    create(folder.path(), host, &["--authfile=none.json", &trusted], &[]).must_end(1, &["none.json: No such file"]);

    // A name that the certificate is not for.
    let other = host.replace("127.0.0.1", "localhost");
    create(folder.path(), &other, &[&trusted, &file], &[])
        .must_end(1, &["cannot reach localhost", "not valid for name"]);

    let broken = server.path().join("broken.json");
    fs::write(&broken, "{ no json").unwrap();
    create(folder.path(), host, &[&trusted], &[("REGISTRY_AUTH_FILE", broken.to_str().unwrap())])
        .must_end(1, &["cannot read the credentials", "broken.json"]);

    let other = folder.path().join("other.pem").to_string_lossy().into_owned();
    let new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", "-keyout", "/dev/null", "-out"];
    tool("openssl", &[&new[..], &[&other]].concat());
    let stranger = create(folder.path(), host, &["--registry-ca=other.pem"], &[]);
    stranger.must_end(1, &["cannot reach", "certificate", "--registry-ca"]);
    assert_nothing_left(folder.path(), &["image", "other.pem"]);
}
