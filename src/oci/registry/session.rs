//! The connection to a repository: requests with a login, and with retries where they may help.

use crate::error::Result;
use crate::oci::document::DOCUMENT_MAX;
use crate::oci::registry::http::{Answer, Failure, Get, Http, Url};
use crate::oci::registry::login::Login;
use crate::oci::registry::retry::Retries;
use anyhow::Context;
use std::time::{Duration, Instant};

/// The connection to a repository, which all of its transfers share.
pub struct Session {
    pub(super) http: Http,
    pub(super) login: Login,
    /// Host as the user writes it.
    pub host: String,
    /// Address of the repository, with a slash at its end.
    pub(super) repository: Url,
}

impl Session {
    /// Sends a GET for a path of the repository. Logs in if that is asked for, also when a token has expired.
    pub fn get(&self, path: &str, accept: &str, from: u64) -> Result<Answer, Failure> {
        let url = self.repository.join(path).context("making an address").map_err(Failure::Final)?;
        let get = || self.http.get(&url, &Get { accept, from, authorization: self.login.authorization() });
        match get() {
            Err(Failure::Login(challenges, refusal)) => {
                self.login.renew(&self.http, &challenges, refusal)?;
                get().map_err(|failure| match failure {
                    Failure::Login(_, refusal) => Failure::Final(refusal),
                    failure => failure,
                })
            }
            answer => answer,
        }
    }

    /// Reads a document of at most [`DOCUMENT_MAX`] bytes, and tries again where that may help.
    pub fn document(&self, path: &str, accept: &str) -> Result<Vec<u8>> {
        self.attempts(path, accept).map_err(Failure::into_error)
    }

    /// Reads a document as [`Session::document`] does; `None` if the registry does not have it.
    pub fn document_if_any(&self, path: &str, accept: &str) -> Result<Option<Vec<u8>>> {
        match self.attempts(path, accept) {
            Err(Failure::Missing(_)) => Ok(None),
            document => document.map(Some).map_err(Failure::into_error),
        }
    }

    /// Sends a GET as [`Session::get`] does. A server that does not answer is asked again for `patience`.
    pub fn get_patiently(&self, path: &str, accept: &str, patience: Duration) -> Result<Answer, Failure> {
        let (mut retries, begin) = (Retries::patient(), Instant::now());
        let mut goes_on = |after| begin.elapsed() < patience && retries.wait(after);
        loop {
            match self.get(path, accept, 0) {
                Err(Failure::Again(error, after)) if !goes_on(after) => return Err(Failure::Final(error)),
                Err(Failure::Unreachable(error)) if !goes_on(None) => return Err(Failure::Final(error)),
                Err(Failure::Again(..) | Failure::Unreachable(_)) => {}
                answer => return answer,
            }
        }
    }

    fn attempts(&self, path: &str, accept: &str) -> Result<Vec<u8>, Failure> {
        let mut retries = Retries::default();
        loop {
            match self.get(path, accept, 0).and_then(|answer| answer.document(DOCUMENT_MAX)) {
                Err(Failure::Again(error, after)) => {
                    if !retries.wait(after) {
                        return Err(Failure::Final(error.context(format!("after {} retries", retries.count()))));
                    }
                }
                document => return document,
            }
        }
    }
}
