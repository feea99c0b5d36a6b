//! Registry credentials, from the files that Docker and Podman keep.

use crate::error::{Result, failed};
use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use std::env;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

/// The login to use at one registry.
pub enum Credential {
    /// No login: the registry is read anonymously.
    None,
    /// A user name and a password.
    Password(String, String),
    /// An identity token (OAuth 2.0 refresh token), which is exchanged for an access token.
    Token(String),
}

/// Finds the credential for `host` in the first file that has one, through the helpers that the file names.
/// An unreadable file is an error: continuing anonymously would only hide it.
pub fn find(host: &str) -> Result<Credential> {
    // These files list Docker Hub under an address of its own.
    let known_as = if host == "docker.io" { "https://index.docker.io/v1/" } else { host };
    for path in files() {
        let file = match File::open(&path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            file => file.map_err(|error| unreadable(host, &path, &error.to_string()))?,
        };
        match get_credential_from_reader(BufReader::new(file), known_as) {
            Ok(DockerCredential::UsernamePassword(name, password)) => return Ok(Credential::Password(name, password)),
            Ok(DockerCredential::IdentityToken(token)) => return Ok(Credential::Token(token)),
            Err(CredentialRetrievalError::NoCredentialConfigured) => {}
            Err(CredentialRetrievalError::HelperFailure { helper, .. }) => {
                return Err(unreadable(host, &path, &format!("the helper {helper} failed"))); // its output may be secret
            }
            Err(error) => return Err(unreadable(host, &path, &error.to_string())),
        }
    }
    Ok(Credential::None)
}

/// Lists the files to search for credentials: those of containers-auth.json(5), then that of docker-login(1).
fn files() -> Vec<PathBuf> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = |folder: &str| variable("HOME").map(|home| home.join(folder));
    let config = variable("XDG_CONFIG_HOME").or_else(|| home(".config"));
    let podman = match variable("REGISTRY_AUTH_FILE") {
        Some(file) => vec![Some(file)],
        None => vec![
            variable("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
            Some("/run/containers/0/auth.json".into()),
            config.map(|folder| folder.join("containers/auth.json")),
        ],
    };
    let docker = variable("DOCKER_CONFIG").or_else(|| home(".docker")).map(|folder| folder.join("config.json"));
    podman.into_iter().chain([docker]).flatten().collect()
}

fn unreadable(host: &str, path: &Path, why: &str) -> anyhow::Error {
    let found = format!("cannot read the credentials for {host} in {}: {why}", path.display());
    failed(found, format!("log in again: podman login {host}, or docker login {host}"))
}
