//! Registry credentials, from the files that Docker and Podman keep (containers-auth.json(5)).

use crate::error::{Result, failed, refused};
use crate::tool::Tool;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fmt};

/// Time limit for a credential helper; those of clouds ask a service over the network.
const HELPER_TIMEOUT: Duration = Duration::from_secs(30);
/// The user name that a helper gives with an identity token (docker-credential-helpers, protocol).
const TOKEN_USER: &str = "<token>";

/// The login to use at one registry.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credential {
    /// No login: the registry is read anonymously.
    None,
    /// A user name and a password.
    Password(String, String),
    /// An identity token (OAuth 2.0 refresh token), which is exchanged for an access token.
    Token(String),
}

/// Shows no secret: what is shown may end in a log.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credential::None => "None",
            Credential::Password(..) => "Password(…)",
            Credential::Token(_) => "Token(…)",
        })
    }
}

/// A file of credentials.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthFile {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    creds_store: Option<String>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct Auth {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    identitytoken: String,
}

/// The answer of a helper.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

/// Finds the credential for `repository` at `host`: in `named`, or in the first of the usual files that has one. An
/// unreadable file is an error: continuing anonymously would only hide it.
pub fn find(host: &str, repository: &str, named: Option<&Path>) -> Result<Credential> {
    for path in named.map_or_else(files, |file| vec![file.to_owned()]) {
        let text = match std::fs::read(&path) {
            Err(error) if named.is_none() && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                continue;
            }
            text => text.map_err(|error| unreadable(host, &path, &error.to_string()))?,
        };
        // Under sudo(8), the variables may name another user's file, whose helper must not be run.
        let owner = std::fs::metadata(&path).map_or(u32::MAX, |metadata| metadata.uid());
        let is_trusted = [0, geteuid().as_raw()].contains(&owner);
        // The text of the parser's error could show a password.
        let file = serde_json::from_slice::<AuthFile>(&text).map_err(|_| unreadable(host, &path, "it is not valid"))?;
        let file = if is_trusted { file } else { file.without_helpers() };
        match file.credential(host, repository).map_err(|why| unreadable(host, &path, &why))? {
            Credential::None => {}
            found if file.has_secrets() => return refuse_if_public(&path).map(|()| found),
            found => return Ok(found),
        }
    }
    Ok(Credential::None)
}

/// Refuses a file that every user of this machine can read.
fn refuse_if_public(path: &Path) -> Result<()> {
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.mode());
    if mode & 0o004 == 0 {
        return Ok(());
    }
    let name = path.display();
    Err(refused(
        format!("by the mode of {name}, every user of this machine can read the credentials in it"),
        format!("chmod 600 {name}"),
    ))
}

impl AuthFile {
    /// Returns true if the file itself holds a password or a token.
    fn has_secrets(&self) -> bool {
        self.auths.values().any(|auth| !auth.auth.is_empty() || !auth.identitytoken.is_empty())
    }

    fn without_helpers(self) -> AuthFile {
        AuthFile { creds_store: None, cred_helpers: BTreeMap::new(), ..self }
    }

    /// Returns the credential for the narrowest name in this file: a repository, a namespace above it, or the host.
    fn credential(&self, host: &str, repository: &str) -> Result<Credential, String> {
        let hosts = names_of(host);
        if let Some((name, helper)) = hosts.iter().find_map(|name| self.cred_helpers.get_key_value(name)) {
            return ask(helper, name);
        }
        let full = format!("{host}/{repository}");
        let above = full.match_indices('/').map(|(at, _)| &full[..at]).skip(1);
        let namespaces = std::iter::once(full.as_str()).chain(above.collect::<Vec<_>>().into_iter().rev());
        for name in namespaces.chain(hosts.iter().map(String::as_str)) {
            match self.auths.get(name).map(Auth::credential).transpose()? {
                None | Some(Credential::None) => {}
                Some(found) => return Ok(found),
            }
        }
        self.creds_store.as_deref().map_or(Ok(Credential::None), |helper| ask(helper, &hosts[0]))
    }
}

impl Auth {
    fn credential(&self) -> Result<Credential, String> {
        if !self.identitytoken.is_empty() {
            return Ok(Credential::Token(self.identitytoken.clone()));
        }
        if self.auth.is_empty() {
            return Ok(Credential::None); // a helper has it
        }
        let text = STANDARD.decode(self.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let (name, password) = text.as_deref().and_then(|text| text.split_once(':')).ok_or("an entry is damaged")?;
        Ok(Credential::Password(name.to_owned(), password.trim_end_matches('\0').to_owned()))
    }
}

/// Lists the names under which these files know a host, the usual one first. Docker Hub's is an address of its own.
fn names_of(host: &str) -> Vec<String> {
    if host == "docker.io" {
        return ["https://index.docker.io/v1/", "docker.io", "index.docker.io"].map(str::to_owned).to_vec();
    }
    vec![host.to_owned(), format!("https://{host}"), format!("https://{host}/v1/"), format!("https://{host}/v2/")]
}

/// Asks a credential helper (docker-credential-helpers, protocol), which reads the host's name from its input.
fn ask(helper: &str, host: &str) -> Result<Credential, String> {
    // A path in it would be one to any program.
    if !helper.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        return Err(format!("'{}' is not the name of a helper", helper.escape_debug()));
    }
    let failure = || format!("the helper {helper} failed"); // its output may be secret
    let tool = Tool::new("sh").args(["-c", "printf %s \"$1\" | \"$0\" get"]);
    let tool = tool.arg(format!("docker-credential-{helper}")).arg(host).deadline(HELPER_TIMEOUT).keeping(1 << 16);
    let (code, printed) = tool.run_for(&[0, 1]).map_err(|_| failure())?;
    if code == 1 && printed.stdout.contains("credentials not found") {
        return Ok(Credential::None);
    }
    let Helped { username, secret } = serde_json::from_str(&printed.stdout).map_err(|_| failure())?;
    Ok(if username == TOKEN_USER { Credential::Token(secret) } else { Credential::Password(username, secret) })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(file: &str, host: &str, repository: &str) -> Result<Credential, String> {
        serde_json::from_str::<AuthFile>(file).unwrap().credential(host, repository)
    }

    fn password(name: &str, password: &str) -> Credential {
        Credential::Password(name.to_owned(), password.to_owned())
    }

    #[test]
    fn the_narrowest_name_has_the_credential() {
        // user:host, user:team, user:repo
        let file = r#"{"auths":{"h:5000":{"auth":"dXNlcjpob3N0"},"h:5000/team":{"auth":"dXNlcjp0ZWFt"},
            "h:5000/team/app":{"auth":"dXNlcjpyZXBv"},"token.example":{"auth":"dXNlcjp4","identitytoken":"t"},
            "https://index.docker.io/v1/":{"auth":"dXNlcjpodWI="},"empty.example":{}}}"#;
        assert_eq!(of(file, "h:5000", "x"), Ok(password("user", "host")));
        assert_eq!(of(file, "h:5000", "team/other"), Ok(password("user", "team")));
        assert_eq!(of(file, "h:5000", "team/app"), Ok(password("user", "repo")));
        assert_eq!(of(file, "h:5000", "team/application"), Ok(password("user", "team")));
        assert_eq!(of(file, "token.example", "x"), Ok(Credential::Token("t".to_owned())));
        assert_eq!(of(file, "docker.io", "library/debian"), Ok(password("user", "hub")));
        assert_eq!(of(file, "other.example", "x"), Ok(Credential::None));
        assert_eq!(of(file, "empty.example", "x"), Ok(Credential::None));
        assert!(of(r#"{"auths":{"h":{"auth":"%"}}}"#, "h", "x").is_err());
    }

    #[test]
    fn c14_a_file_that_every_user_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.json");
        std::fs::write(&path, r#"{"auths":{"h":{"auth":"dXNlcjpob3N0"}}}"#).unwrap();
        let find = |mode: u32, host: &str| {
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
            find(host, "x", Some(&path))
        };
        assert_eq!(find(0o640, "h").unwrap(), password("user", "host"));
        assert!(format!("{:#}", find(0o644, "h").unwrap_err()).contains("every user of this machine"));
        assert_eq!(find(0o644, "other").unwrap(), Credential::None);
    }

    #[test]
    fn a_helper_that_is_not_there_is_an_error() {
        let file = r#"{"credHelpers":{"h":"flipslot-test-of-none"}}"#;
        assert_eq!(of(file, "h", "x"), Err("the helper flipslot-test-of-none failed".to_owned()));
        assert_eq!(of(file, "other", "x"), Ok(Credential::None));
        let path = r#"{"credsStore":"x/../../home/u/evil"}"#;
        assert!(of(path, "h", "x").unwrap_err().contains("not the name of a helper"));
    }
}
