//! The definition of a netboot folder as a TOML file, in the words of the flags of `netboot`.

use crate::boot::initramfs_source::Source;
use crate::boot::root_on::LiveFormat;
use crate::error::{Result, refused, usage};
use crate::hardware::Choice;
use crate::request::config::{BySlot, Config};
use crate::words::loader::Loader;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The keys of the file; every key is optional, and a flag overrides it.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NetbootConfig {
    /// `--url`: the address of the folder.
    pub url: Option<String>,
    /// `--format`: of the images.
    pub format: Option<LiveFormat>,
    /// `--loader`: boot loaders to hand out.
    pub loader: Option<Vec<Loader>>,
    /// `--initramfs`: `flipslot` or `dracut`.
    pub initramfs: Option<Source>,
    /// `--follow-tag`: let machines boot what the tag names then.
    pub follow_tag: Option<bool>,
    /// `--auth-on`: file with the login of machines, on a disk of their own.
    pub auth_on: Option<String>,
    /// `--embed`: put images into their initramfs.
    pub embed: Option<bool>,
    /// `--no-agent`: leave flipslot out of the booted system.
    pub no_agent: Option<bool>,
    /// `--keep`: the number of images to keep.
    pub keep: Option<usize>,
    /// `--image`: references by name.
    #[serde(default)]
    pub image: BTreeMap<String, String>,
    /// `--host`: hosts by name.
    #[serde(default)]
    pub host: BTreeMap<String, HostConfig>,
    /// `--hardware`: the machines.
    pub hardware: Option<Choice>,
    /// `--kernel`: its version, if images have several.
    pub kernel: Option<String>,
    /// `--fix`, once or several times.
    pub fix: Option<Vec<String>>,
    /// `--allow`, once or several times.
    pub allow: Option<Vec<String>>,
    /// `--kargs`: words for the kernel command line.
    pub kargs: Option<String>,
    /// `--console`, once or several times.
    pub console: Option<Vec<String>>,
    /// `--arch`: the architecture to choose from an index.
    pub arch: Option<String>,
    /// `--plain-http`, once or several times.
    pub plain_http: Option<Vec<String>>,
    /// `--auth-realm`, once or several times.
    pub auth_realm: Option<Vec<String>>,
    /// `--registry-ca`, once or several times.
    pub registry_ca: Option<Vec<PathBuf>>,
    /// `--authfile`: the file of registry credentials.
    pub authfile: Option<PathBuf>,
    /// `--verify-key`, once or several times.
    pub verify_key: Option<Vec<PathBuf>>,
    /// `--policy`: the policy for signatures.
    pub policy: Option<PathBuf>,
}

/// A host of the file.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostConfig {
    /// Name of its image.
    pub image: String,
    /// Reference of its own image, whose first layers are those of that one.
    pub layer: Option<String>,
    /// MAC addresses.
    #[serde(default)]
    pub mac: Vec<String>,
    /// UUIDs of its firmware.
    #[serde(default)]
    pub uuid: Vec<String>,
}

impl NetbootConfig {
    /// Reads the file; an unknown key is an error that shows its line.
    pub fn read(path: Option<&Path>) -> Result<NetbootConfig> {
        let Some(path) = path else { return Ok(NetbootConfig::default()) };
        let text = std::fs::read_to_string(path).map_err(|error| {
            let found = format!("cannot read the config {}: {error}", path.display());
            refused(found, "name a file that exists: --config FILE")
        })?;
        toml::from_str(&text).map_err(|error| {
            let found = format!("{}: {error}", path.display());
            usage(
                found,
                "the keys are the flags of `flipslot netboot`, with tables [image] and [host.NAME] (docs/netboot.md)",
            )
        })
    }

    /// Returns the part that says how every image boots.
    pub fn boots(&self) -> Config {
        let NetbootConfig { hardware, kernel, fix, allow, kargs, console, arch, plain_http, .. } = self;
        let NetbootConfig { initramfs, auth_realm, registry_ca, authfile, verify_key, policy, .. } = self;
        Config {
            hardware: hardware.clone(),
            initramfs: *initramfs,
            kernel: kernel.clone().map(BySlot::All),
            fix: fix.clone(),
            allow: allow.clone(),
            kargs: kargs.clone(),
            console: console.clone(),
            arch: arch.clone(),
            plain_http: plain_http.clone(),
            auth_realm: auth_realm.clone(),
            registry_ca: registry_ca.clone(),
            authfile: authfile.clone(),
            verify_key: verify_key.clone(),
            policy: policy.clone(),
            ..Config::default()
        }
    }
}
