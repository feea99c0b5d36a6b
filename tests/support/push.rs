//! Pushes blobs and manifests to a registry as they are (OCI distribution specification, "Push"), which no tool does
//! without having an opinion of them.

use flipslot::words::digest::Digest;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

/// A repository of a registry without TLS.
pub struct Repository<'r> {
    pub host: &'r str,
    pub name: &'r str,
}

impl Repository<'_> {
    /// Pushes a blob; returns its descriptor.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        let answer = self.send("POST", &format!("/v2/{}/blobs/uploads/", self.name), "", b"");
        let location = answer.lines().find_map(|line| line.strip_prefix("Location: ")).expect("a place for the upload");
        let path = location.trim().trim_start_matches("http://").trim_start_matches(self.host);
        let joint = if path.contains('?') { '&' } else { '?' };
        let answer = self.send("PUT", &format!("{path}{joint}digest={digest}"), "application/octet-stream", bytes);
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    /// Pushes a manifest under a tag or its digest; returns its descriptor.
    pub fn manifest(&self, tag: Option<&str>, manifest: &Value) -> Value {
        let bytes = serde_json::to_vec(manifest).unwrap();
        let (digest, media_type) = (Digest::of(&bytes), manifest["mediaType"].as_str().unwrap());
        let name = tag.map_or_else(|| digest.to_string(), str::to_owned);
        let answer = self.send("PUT", &format!("/v2/{}/manifests/{name}", self.name), media_type, &bytes);
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    /// Returns the digest of the manifest under a tag.
    pub fn digest(&self, tag: &str) -> String {
        let answer = self.send("GET", &format!("/v2/{}/manifests/{tag}", self.name), "", b"");
        let digest = answer.lines().find_map(|line| line.strip_prefix("Docker-Content-Digest: "));
        digest.unwrap_or_else(|| panic!("{answer}")).trim().to_owned()
    }

    fn send(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.host).unwrap();
        let accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: {accept}\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.host,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}
