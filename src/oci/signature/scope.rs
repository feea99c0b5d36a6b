//! The scopes of policy.json(5) that an image is in, the narrowest first.

use crate::oci::reference::{Pin, Reference};
use std::path::Path;

/// Returns the transport of a reference, and its scopes in the order in which they are looked up.
pub fn of(reference: &Reference) -> (&'static str, Vec<String>) {
    match reference {
        Reference::Registry { host, repository, pin } => ("docker", of_registry(host, repository, pin)),
        Reference::Layout { directory, pin } => ("oci", of_path(directory, tag(pin.as_ref()))),
        Reference::Archive { file, pin } => ("oci-archive", of_path(file, tag(pin.as_ref()))),
        Reference::DockerArchive { file, name } => ("docker-archive", of_path(file, name.clone())),
    }
}

/// Lists name, repository, the namespaces above it, the host, and domains as `*.example.com`.
fn of_registry(host: &str, repository: &str, pin: &Pin) -> Vec<String> {
    let name = format!("{host}/{repository}");
    let mut scopes = vec![format!("{name}{pin}")];
    let mut rest = name.as_str();
    loop {
        scopes.push(rest.to_owned());
        let Some((above, _)) = rest.rsplit_once('/') else { break };
        rest = above;
    }
    // A wildcard does not name a port.
    let mut domain = host.split(':').next().unwrap_or(host);
    while let Some((_, parent)) = domain.split_once('.') {
        scopes.push(format!("*.{parent}"));
        domain = parent;
    }
    scopes
}

/// Lists `path:tag`, the path, and the directories above it. Links are resolved; `/` is not among them
/// (policy.json(5)).
fn of_path(path: &Path, tag: Option<String>) -> Vec<String> {
    let resolved = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let shown = |path: &Path| path.display().to_string();
    let with_tag = tag.map(|tag| format!("{}:{tag}", shown(&resolved)));
    let above = resolved.ancestors().filter(|above| above.parent().is_some());
    with_tag.into_iter().chain(above.map(shown)).collect()
}

fn tag(pin: Option<&Pin>) -> Option<String> {
    match pin {
        Some(Pin::Tag(tag)) => Some(tag.clone()),
        Some(Pin::Digest(digest)) => Some(digest.to_string()),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_scope_comes_first() {
        let scopes = |text: &str| of(&text.parse().unwrap()).1;
        assert_eq!(
            scopes("a.b.example:5000/os/debian:12"),
            [
                "a.b.example:5000/os/debian:12",
                "a.b.example:5000/os/debian",
                "a.b.example:5000/os",
                "a.b.example:5000",
                "*.b.example",
                "*.example"
            ]
        );
        assert_eq!(scopes("debian")[0], "docker.io/library/debian:latest");
        assert_eq!(scopes("oci:/nowhere/layout:12"), ["/nowhere/layout:12", "/nowhere/layout", "/nowhere"]);
        assert_eq!(of(&"oci-archive:/nowhere/x.tar".parse().unwrap()).0, "oci-archive");
    }
}
