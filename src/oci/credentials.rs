//! User names and tokens for registries, from the files that Docker and Podman keep.

use crate::error::{Result, failed};
use docker_credential::{CredentialRetrievalError, DockerCredential};

/// How to log in at a registry.
pub enum Credential {
    /// Not at all.
    None,
    /// User name and password.
    Password(String, String),
    /// A token that stands for both.
    Token(String),
}

/// The credential for `host`: from Podman's auth.json (`REGISTRY_AUTH_FILE` names another), then
/// from Docker's config.json (`DOCKER_CONFIG` names its directory), with their helpers.
pub fn find(host: &str) -> Result<Credential> {
    // Docker Hub is known there by an address of its own.
    let known_as = if host == "docker.io" { "https://index.docker.io/v1/" } else { host };
    for look in [docker_credential::get_podman_credential, docker_credential::get_credential] {
        match look(known_as) {
            Ok(DockerCredential::UsernamePassword(name, password)) => return Ok(Credential::Password(name, password)),
            Ok(DockerCredential::IdentityToken(token)) => return Ok(Credential::Token(token)),
            Err(
                CredentialRetrievalError::NoCredentialConfigured
                | CredentialRetrievalError::ConfigNotFound
                | CredentialRetrievalError::ConfigReadError,
            ) => {}
            Err(error) => {
                let found = format!("the credentials for {host} cannot be read: {error}");
                return Err(failed(found, format!("log in anew: podman login {host}, or docker login {host}")));
            }
        }
    }
    Ok(Credential::None)
}
