//! Image references as the user writes them, in the syntax of containers-transports(5).

use crate::error::{Result, usage};
use crate::words::digest::Digest;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The location of an image, with the tag, digest or name that picks it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `docker://host[:port]/repository[:tag][@digest]`, with or without the scheme.
    Registry {
        /// Registry host, with its port if one is given.
        host: String,
        /// Repository, with `library/` where Docker Hub has it.
        repository: String,
        /// Tag or digest; the tag `latest` if neither is given.
        pin: Pin,
    },
    /// `oci:directory[:tag]`: an OCI image layout.
    Layout {
        /// Directory that holds `index.json`.
        directory: PathBuf,
        /// Tag or digest of one of its images; `None` if it has only one.
        pin: Option<Pin>,
    },
    /// `oci-archive:file[:tag]`: an OCI image layout in a tar file.
    Archive {
        /// Path of the tar file.
        file: PathBuf,
        /// Tag or digest of one of its images; `None` if it has only one.
        pin: Option<Pin>,
    },
    /// `docker-archive:file[:name:tag]`: an archive of `docker save`.
    DockerArchive {
        /// Path of the tar file.
        file: PathBuf,
        /// `name:tag` of one of its images; `None` if it has only one.
        name: Option<String>,
    },
}

/// The tag or digest that picks one image of a repository or layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// A tag, which may point to another image later.
    Tag(String),
    /// A digest, which identifies the content itself.
    Digest(Digest),
}

impl FromStr for Reference {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Reference> {
        let odd = |why: &str| usage(format!("'{}' is not an image reference: {why}", text.escape_debug()), FORMS);
        if text.is_empty() || text.chars().any(|c| c.is_control() || c == ' ') {
            return Err(odd("it is empty or holds spaces or control characters"));
        }
        if let Some(rest) = text.strip_prefix("docker://") {
            return registry(rest).map_err(|error| odd(&format!("{error:#}")));
        }
        let scheme = text.split_once(':').map(|(scheme, rest)| (scheme, rest.to_owned()));
        match scheme {
            Some(("oci", rest)) => {
                let (path, pin) = path_and_pin(&rest).map_err(|error| odd(&format!("{error:#}")))?;
                Ok(Reference::Layout { directory: path, pin })
            }
            Some(("oci-archive", rest)) => {
                let (path, pin) = path_and_pin(&rest).map_err(|error| odd(&format!("{error:#}")))?;
                Ok(Reference::Archive { file: path, pin })
            }
            Some(("docker-archive", rest)) => {
                let (path, name) =
                    rest.split_once(':').map_or((rest.as_str(), None), |(path, name)| (path, Some(name)));
                if path.is_empty() {
                    return Err(odd("it names no file"));
                }
                Ok(Reference::DockerArchive { file: path.into(), name: name.map(ToOwned::to_owned) })
            }
            _ if text.contains("://") => Err(odd("its scheme is unknown")),
            Some((scheme @ ("dir" | "containers-storage" | "docker-daemon" | "ostree" | "sif" | "tarball"), _)) => {
                Err(odd(&format!("flipslot does not read '{scheme}:'")))
            }
            _ => registry(text).map_err(|error| odd(&format!("{error:#}"))),
        }
    }
}

/// The hint with all accepted forms of a reference.
const FORMS: &str = "write docker://host/name:tag, docker://host/name@sha256:…, oci:directory[:tag], \
                     oci-archive:file[:tag] or docker-archive:file[:name:tag]";

/// Splits `host/repository[:tag][@digest]` as the distribution specification does.
fn registry(text: &str) -> Result<Reference> {
    let reference: oci_spec::distribution::Reference = text.parse()?;
    let pin = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => Pin::Digest(Digest::parse(digest)?),
        (None, tag) => Pin::Tag(tag.unwrap_or("latest").to_owned()),
    };
    let (host, repository) = (reference.registry().to_owned(), reference.repository().to_owned());
    // Distribution specification, "Pulling manifests": the parser takes a first component in upper case for a host.
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/".contains(&b);
    anyhow::ensure!(repository.bytes().all(is_plain), "its repository has other letters than a-z");
    Ok(Reference::Registry { host, repository, pin })
}

/// Splits `path[:tag]` or `path[@digest]`; the tag is everything after the first colon, as
/// containers-transports(5) says.
fn path_and_pin(text: &str) -> Result<(PathBuf, Option<Pin>)> {
    let (path, pin) = match (text.split_once('@'), text.split_once(':')) {
        (Some((path, digest)), _) if digest.contains(':') => (path, Some(Pin::Digest(Digest::parse(digest)?))),
        (_, Some((path, tag))) => (path, Some(Pin::Tag(tag.to_owned()))),
        (_, None) => (text, None),
    };
    anyhow::ensure!(!path.is_empty(), "it names no path");
    anyhow::ensure!(pin != Some(Pin::Tag(String::new())), "its tag is empty");
    Ok((path.into(), pin))
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pin::Tag(tag) => write!(f, ":{tag}"),
            Pin::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pin = |pin: &Option<Pin>| pin.as_ref().map(ToString::to_string).unwrap_or_default();
        match self {
            Reference::Registry { host, repository, pin } => write!(f, "docker://{host}/{repository}{pin}"),
            Reference::Layout { directory, pin: which } => write!(f, "oci:{}{}", directory.display(), pin(which)),
            Reference::Archive { file, pin: which } => write!(f, "oci-archive:{}{}", file.display(), pin(which)),
            Reference::DockerArchive { file, name } => {
                let name = name.as_ref().map(|name| format!(":{name}")).unwrap_or_default();
                write!(f, "docker-archive:{}{name}", file.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        text.parse::<Reference>().map_or_else(|error| format!("error: {error:#}"), |reference| reference.to_string())
    }

    #[test]
    fn every_form_is_read() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for text in [
            "docker://127.0.0.1:5000/os/debian:12".to_owned(),
            format!("docker://quay.io/os/debian@{digest}"),
            "oci:./layout:13".to_owned(),
            "oci:/srv/layout".to_owned(),
            format!("oci:layout@{digest}"),
            "oci-archive:image.tar:v1".to_owned(),
            "docker-archive:saved.tar:debian:12".to_owned(),
        ] {
            assert_eq!(read(&text), text);
        }
    }

    #[test]
    fn a_bare_name_is_a_registry_reference_with_a_tag() {
        assert_eq!(read("debian"), "docker://docker.io/library/debian:latest");
        assert_eq!(read("host:5000/a/b:1"), "docker://host:5000/a/b:1");
    }

    #[test]
    fn what_is_no_reference_is_a_usage_error() {
        for odd in [
            "",
            "ftp://x/y",
            "docker://",
            "oci:",
            "docker-archive:",
            "oci:x:",
            "a b",
            "dir:x",
            "docker://h/UPPER",
            "UPPER/debian",
            "oci:x@sha256:12",
        ] {
            let error = odd.parse::<Reference>().unwrap_err();
            assert_eq!(crate::error::kind(&error), crate::error::Kind::Usage, "{odd}");
        }
    }
}
