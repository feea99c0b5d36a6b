//! The value of `flipslot.run=`: a configuration that is pinned.

use crate::error::{Result, refused};
use crate::words::digest::Digest;
use anyhow::Error;

/// Word of the kernel's command line.
pub const WORD: &str = "flipslot.run=";

/// A configuration.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// A file of a server.
    File {
        /// Address of it.
        url: String,
        /// SHA-256 of its bytes.
        digest: Digest,
    },
    /// A file in a commit of a git repository.
    Git {
        /// Address of the repository.
        repository: String,
        /// The commit, as 40 hexadecimal digits.
        commit: String,
        /// Path of the file in it.
        file: String,
    },
}

impl Source {
    /// Reads the value of the word. Refuses what is not pinned, and a user or a password, which everyone could read.
    pub fn read(value: &str) -> Result<Source> {
        let (is_git, url) = value.strip_prefix("git+").map_or((false, value), |rest| (true, rest));
        let authority = url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
        if authority.contains('@') {
            let found = format!("{WORD} has a user or a password, which everyone can read in the command line");
            return Err(refused(found, "let the server give it without, and name its digest or commit"));
        }
        let is_known = url.starts_with("https://") || (url.starts_with("http://") && !is_git);
        if !is_known || authority.is_empty() {
            return Err(odd(value, "is not https://SERVER/FILE, http://SERVER/FILE or git+https://SERVER/REPOSITORY"));
        }
        if url.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(odd(&value.escape_debug().to_string(), "is not an address"));
        }
        let source = if is_git { Source::read_git(value, url) } else { Source::read_file(value, url) }?;
        if ["", ".", ".."].contains(&source.name()) {
            return Err(odd(value, "names a folder, and not a file"));
        }
        Ok(source)
    }

    fn read_file(value: &str, url: &str) -> Result<Source> {
        let pinned = url
            .split_once("@sha256:")
            .and_then(|(url, hex)| Some((url, Digest::parse(&format!("sha256:{hex}")).ok()?)));
        let (url, digest) =
            pinned.ok_or_else(|| odd(value, "has no digest: anyone on the way could send another file"))?;
        Ok(Source::File { url: url.to_owned(), digest })
    }

    fn read_git(value: &str, url: &str) -> Result<Source> {
        let unpinned = || odd(value, "names no commit by its 40 digits and file: a branch could be moved");
        let (repository, rest) = url.rsplit_once('@').ok_or_else(unpinned)?;
        let (commit, file) = rest.split_once('#').ok_or_else(unpinned)?;
        let is_commit = commit.len() == 40 && commit.bytes().all(|digit| digit.is_ascii_hexdigit());
        let is_within = !file.is_empty() && !file.starts_with(['/', '-']) && !file.split('/').any(|part| part == "..");
        if !is_commit || !is_within {
            return Err(unpinned());
        }
        Ok(Source::Git { repository: repository.to_owned(), commit: commit.to_owned(), file: file.to_owned() })
    }

    /// Returns the file's name.
    pub fn name(&self) -> &str {
        let path = match self {
            Source::File { url, .. } => url.split(['?', '#']).next().unwrap_or_default(),
            Source::Git { file, .. } => file,
        };
        path.rsplit('/').next().unwrap_or_default()
    }

    /// Returns true for a playbook of Ansible, which cannot be executed.
    pub fn is_playbook(&self) -> bool {
        [".yml", ".yaml"].iter().any(|end| self.name().ends_with(end))
    }
}

fn odd(value: &str, why: &str) -> Error {
    let next = "write flipslot.run=https://SERVER/FILE@sha256:… or git+https://SERVER/REPOSITORY@COMMIT#FILE";
    refused(format!("{WORD}{value} {why}"), next)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_file_or_a_commit_is_named() {
        let file = Source::read(&format!("https://srv/a/site.yml@sha256:{HEX}")).unwrap();
        assert!(file.is_playbook() && file.name() == "site.yml");
        let file = Source::read(&format!("http://10.0.0.1:80/setup?v=1@sha256:{HEX}")).unwrap();
        assert!(!file.is_playbook() && file.name() == "setup");
        let git = Source::read(&format!("git+https://srv/ops/site.git@{COMMIT}#hosts/setup.sh")).unwrap();
        let (repository, commit, file) = ("https://srv/ops/site.git", COMMIT, "hosts/setup.sh");
        let [repository, commit, file] = [repository, commit, file].map(str::to_owned);
        assert_eq!(git, Source::Git { repository, commit, file });
    }

    #[test]
    fn what_could_be_another_thing_tomorrow_or_be_read_by_everyone_is_refused() {
        let said = |value: &str| Source::read(value).unwrap_err().to_string();
        assert!(said("https://srv/setup").contains("has no digest"));
        assert!(said("https://srv/setup@sha256:12").contains("has no digest"));
        assert!(said("git+https://srv/site.git@main#x").contains("names no commit"));
        assert!(said(&format!("git+https://srv/site.git@{COMMIT}#../x")).contains("names no commit"));
        assert!(said(&format!("git+https://srv/site.git@{COMMIT}#--upload-pack=x")).contains("names no commit"));
        assert!(said(&format!("https://srv/a/@sha256:{HEX}")).contains("names a folder"));
        assert!(said(&format!("https://srv/a/..@sha256:{HEX}")).contains("names a folder"));
        assert!(said(&format!("git+https://srv/site.git@{COMMIT}#x/.")).contains("names a folder"));
        assert!(said(&format!("git+http://srv/site.git@{COMMIT}#x")).contains("is not https://SERVER/FILE"));
        assert!(said(&format!("git+ssh://srv/site.git@{COMMIT}#x")).contains("is not https://SERVER/FILE"));
        assert!(said(&format!("https://me:secret@srv/setup@sha256:{HEX}")).contains("a user or a password"));
        for secret in
            [&format!("https://me:secret@srv/setup@sha256:{HEX}"), "https://me:secret@srv", "ssh://me:secret@srv/x"]
        {
            assert!(!said(secret).contains("secret"), "{secret}");
        }
        assert!(said(&format!("https://srv/a\u{7}@sha256:{HEX}")).contains("is not an address"));
    }
}
