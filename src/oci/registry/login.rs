//! Logs in: basic authentication, and tokens of the service that a registry names. Credentials go to the registry and
//! to hosts that are known to serve it, over TLS, and nowhere else.

use crate::error::{Result, refused};
use crate::oci::credentials::Credential;
use crate::oci::document::DOCUMENT_MAX;
use crate::oci::names::{is_loopback, name_of};
use crate::oci::registry::challenge::Challenge;
use crate::oci::registry::http::{Answer, Failure, Get, Http, Url, host_of, refuse_redirect};
use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::sync::{Mutex, PoisonError};

/// Registries whose tokens come from another host, with that host: Docker Hub, GitLab, Red Hat.
const TOKEN_HOSTS: [(&str, &str); 3] = [
    ("registry-1.docker.io", "auth.docker.io"),
    ("registry.gitlab.com", "gitlab.com"),
    ("registry.redhat.io", "sso.redhat.com"),
];

/// A login at one registry, for one repository.
pub struct Login {
    /// Base address of the registry.
    registry: Url,
    /// Repository to read.
    repository: String,
    credential: Credential,
    /// Hosts that the user trusts with the credential.
    realms: Vec<String>,
    authorization: Mutex<Option<String>>,
}

/// The answer of a token service (Docker token authentication; OAuth 2.0 in the second form).
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Login {
    /// Prepares a login; nothing is sent before a challenge comes.
    pub fn new(registry: Url, repository: &str, credential: Credential, realms: &[String]) -> Login {
        let (repository, realms) = (repository.to_owned(), realms.to_vec());
        Login { registry, repository, credential, realms, authorization: Mutex::new(None) }
    }

    /// Returns the value of the Authorization header, if there is one by now.
    pub fn authorization(&self) -> Option<String> {
        self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers a challenge, which also comes when a token has expired.
    pub fn renew(&self, http: &Http, challenges: &[Challenge], refusal: anyhow::Error) -> Result<(), Failure> {
        let bearer =
            challenges.iter().find(|challenge| challenge.scheme == "bearer" && challenge.parameter("realm").is_some());
        let is_basic = challenges.iter().any(|challenge| challenge.scheme == "basic");
        let new = match (bearer, &self.credential) {
            (Some(challenge), _) => format!("Bearer {}", self.token(http, challenge)?),
            (None, Credential::Password(name, password)) if is_basic => basic(name, password),
            _ => return Err(Failure::Final(refusal)),
        };
        let mut authorization = self.authorization.lock().unwrap_or_else(PoisonError::into_inner);
        if bearer.is_none() && authorization.as_deref() == Some(&new) {
            return Err(Failure::Final(refusal));
        }
        *authorization = Some(new);
        Ok(())
    }

    fn token(&self, http: &Http, challenge: &Challenge) -> Result<String, Failure> {
        let realm = challenge.parameter("realm").unwrap_or_default();
        let mut realm: Url =
            realm.parse().context("reading the address of the token service").map_err(Failure::Final)?;
        // Where a registry may not lead by a redirect, it may not by its challenge.
        refuse_redirect(&self.registry, &realm).map_err(Failure::Final)?;
        let service = challenge.parameter("service").unwrap_or_default();
        let scope = format!("repository:{}:pull", self.repository);
        let answer = match &self.credential {
            Credential::Token(token) => {
                self.refuse_unknown_realm(&realm).map_err(Failure::Final)?;
                let form = [
                    ("grant_type", "refresh_token"),
                    ("service", service),
                    ("client_id", "flipslot"),
                    ("scope", &scope),
                    ("refresh_token", token),
                ];
                http.post(&realm, &form)
            }
            credential => {
                let mut authorization = None;
                if let Credential::Password(name, password) = credential {
                    self.refuse_unknown_realm(&realm).map_err(Failure::Final)?;
                    authorization = Some(basic(name, password));
                }
                let pairs = [("service", service), ("scope", &scope)];
                realm.query_pairs_mut().extend_pairs(pairs.iter().filter(|(_, value)| !value.is_empty()));
                http.get(&realm, &Get { authorization, ..Get::default() })
            }
        };
        // A refusal of the token service is final: there is nothing else to log in with.
        let answer = answer.map_err(|failure| match failure {
            Failure::Login(_, error) => Failure::Final(error),
            failure => failure,
        });
        read_token(answer?, &host_of(&realm))
    }

    /// Refuses to send the credential to a host that is not known to belong to the registry, or without TLS.
    fn refuse_unknown_realm(&self, realm: &Url) -> Result<()> {
        let (registry, realm_host) = (host_of(&self.registry), host_of(realm));
        let both_here = is_loopback(&registry) && is_loopback(&realm_host);
        let is_known = name_of(&registry) == name_of(&realm_host)
            || TOKEN_HOSTS.contains(&(name_of(&registry), name_of(&realm_host)))
            || self.realms.contains(&realm_host);
        if (realm.scheme() == "https" && is_known) || both_here {
            return Ok(());
        }
        if realm.scheme() != "https" {
            let found =
                format!("{registry} wants the credentials sent to {realm_host} without TLS: anyone could read them");
            return Err(refused(found, format!("log out: podman logout {registry}")));
        }
        Err(refused(
            format!("{registry} wants the credentials sent to another host, {realm_host}"),
            format!("if {realm_host} is the token service of {registry}: --auth-realm {realm_host}"),
        ))
    }
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

fn read_token(answer: Answer, host: &str) -> Result<String, Failure> {
    let bytes = answer.document(DOCUMENT_MAX)?;
    // The text of the parser's error could show the token.
    let token = serde_json::from_slice::<Token>(&bytes).ok().and_then(|token| token.token.or(token.access_token));
    token.ok_or_else(|| Failure::Final(anyhow!("the answer of {host} has no token")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(registry: &str, realm: &str, named: &[String]) -> bool {
        let credential = Credential::Password("user".to_owned(), "secret".to_owned());
        let login = Login::new(registry.parse().unwrap(), "x/y", credential, named);
        login.refuse_unknown_realm(&realm.parse().unwrap()).is_ok()
    }

    #[test]
    fn c2_credentials_go_to_the_registry_and_to_hosts_that_are_known_to_serve_it() {
        let named = ["auth.corp.example".to_owned()];
        assert!(may("https://registry.example/", "https://registry.example/token", &[]));
        assert!(may("https://registry.example:5000/", "https://registry.example:5001/token", &[]));
        assert!(may("https://registry-1.docker.io/", "https://auth.docker.io/token", &[]));
        assert!(may("http://127.0.0.1:5000/", "http://127.0.0.1:5001/token", &[]));
        assert!(may("https://registry.example/", "https://auth.corp.example/token", &named));
        for (registry, realm) in [
            ("https://registry.example/", "https://auth.example/token"),
            ("https://registry.example/", "https://evil-registry.example/token"),
            ("https://registry.example/", "http://registry.example/token"),
            ("https://registry.example/", "https://auth.docker.io/token"),
            ("http://127.0.0.1:5000/", "http://192.0.2.2/token"),
            ("http://127.0.0.1:5000/", "https://192.0.2.2/token"),
            ("https://registry.example/", "http://127.0.0.1/token"),
            ("https://registry.example/", "https://sub.auth.corp.example/token"),
        ] {
            assert!(!may(registry, realm, &named), "{registry} {realm}");
        }
    }
}
