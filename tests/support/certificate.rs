//! A certificate authority of the test's own, and the certificate of a server on this machine.

use crate::support::program::tool;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files with a server's certificate, its key, and the authority that signed it.
pub struct Certificate {
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    /// Makes all of them in `folder`, for 127.0.0.1 and two days.
    pub fn new(folder: &Path) -> Certificate {
        let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let new = |more: &[&str]| tool("openssl", &[&["req", "-newkey", "rsa:2048", "-nodes"], more].concat());
        let authority = path("ca.pem");
        new(&["-x509", "-days", "2", "-subj", "/CN=flipslot test CA", "-keyout", &path("ca.key"), "-out", &authority]);
        new(&["-subj", "/CN=127.0.0.1", "-keyout", &path("key.pem"), "-out", &path("request.pem")]);
        fs::write(path("extensions"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        let sign = ["x509", "-req", "-days", "2", "-CAcreateserial", "-CA", &authority, "-CAkey", &path("ca.key")];
        let of = ["-in", &path("request.pem"), "-extfile", &path("extensions"), "-out", &path("cert.pem")];
        tool("openssl", &[&sign[..], &of].concat());
        Certificate { authority: authority.into(), certificate: path("cert.pem").into(), key: path("key.pem").into() }
    }

    /// A server's side of TLS with it.
    pub fn server(&self) -> Arc<ServerConfig> {
        let chain = vec![CertificateDer::from_pem_file(&self.certificate).unwrap()];
        let key = PrivateKeyDer::from_pem_file(&self.key).unwrap();
        Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap())
    }
}
