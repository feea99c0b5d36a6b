//! policy.json(5): the requirements that an image of a scope must meet, all of them.

use crate::error::{Result, refused};
use crate::oci::home;
use crate::oci::reference::Reference;
use crate::oci::signature::identity::SignedIdentity;
use crate::oci::signature::scope;
use anyhow::bail;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The policy of the system.
const SYSTEM: &str = "/etc/containers/policy.json";

/// A policy file. As for other tools that read it, an unknown key makes the whole file invalid.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyJson {
    default: Vec<Requirement>,
    #[serde(default)]
    transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
}

/// One requirement.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Value")]
pub enum Requirement {
    /// `insecureAcceptAnything`: met by every image.
    Accept,
    /// `reject`: met by none.
    Reject,
    /// `signedBy`: signatures of OpenPGP, which flipslot does not verify.
    SignedBy,
    /// `sigstoreSigned`: signed with one of these keys.
    SigstoreSigned {
        /// The keys.
        keys: Vec<KeySource>,
        /// Comparison of the signed name.
        identity: SignedIdentity,
    },
}

/// The place of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A PEM file.
    File(PathBuf),
    /// PEM text in base64.
    Data(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SigstoreSigned {
    #[serde(rename = "type")]
    _type: String,
    key_path: Option<PathBuf>,
    #[serde(default)]
    key_paths: Vec<PathBuf>,
    key_data: Option<String>,
    #[serde(default)]
    key_datas: Vec<String>,
    #[serde(default)]
    signed_identity: SignedIdentity,
}

impl TryFrom<Value> for Requirement {
    type Error = anyhow::Error;

    fn try_from(value: Value) -> Result<Requirement> {
        let bare = value.as_object().is_some_and(|object| object.len() == 1);
        Ok(match value["type"].as_str() {
            Some("insecureAcceptAnything") if bare => Requirement::Accept,
            Some("reject") if bare => Requirement::Reject,
            Some("signedBy") => Requirement::SignedBy,
            Some("sigstoreSigned") => SigstoreSigned::deserialize(value)?.requirement()?,
            _ => bail!("unknown requirement {value}"),
        })
    }
}

impl SigstoreSigned {
    fn requirement(self) -> Result<Requirement> {
        let SigstoreSigned { key_path, key_paths, key_data, key_datas, signed_identity, .. } = self;
        let ways = [key_path.is_some(), !key_paths.is_empty(), key_data.is_some(), !key_datas.is_empty()];
        if ways.iter().filter(|given| **given).count() != 1 {
            bail!("sigstoreSigned wants one of keyPath, keyPaths, keyData, keyDatas");
        }
        let files = key_path.into_iter().chain(key_paths).map(KeySource::File);
        let keys = files.chain(key_data.into_iter().chain(key_datas).map(KeySource::Data)).collect();
        Ok(Requirement::SigstoreSigned { keys, identity: signed_identity })
    }
}

impl PolicyJson {
    /// Reads `named`; else the user's policy, or else the system's. `None` if nothing is named and neither exists.
    pub fn find(named: Option<&Path>) -> Result<Option<(PathBuf, PolicyJson)>> {
        let user = home::settings().map(|folder| folder.join("policy.json"));
        let files = named.map_or_else(|| user.into_iter().chain([SYSTEM.into()]).collect(), |file| vec![file.into()]);
        for file in files {
            let text = match std::fs::read(&file) {
                Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => continue,
                Err(error) => return Err(unreadable(&file, &error.to_string())),
                Ok(text) => text,
            };
            let policy = PolicyJson::parse(&text).map_err(|error| unreadable(&file, &format!("{error:#}")))?;
            return Ok(Some((file, policy)));
        }
        Ok(None)
    }

    /// Parses a policy.
    pub fn parse(text: &[u8]) -> Result<PolicyJson> {
        let NoDuplicates(value) = serde_json::from_slice(text)?;
        Ok(serde_json::from_value(value)?)
    }

    /// Returns the requirements of the narrowest scope that `reference` is in.
    pub fn requirements(&self, reference: &Reference) -> &[Requirement] {
        let (transport, scopes) = scope::of(reference);
        let of_transport = self.transports.get(transport);
        let found = of_transport
            .and_then(|known| scopes.iter().map(String::as_str).chain([""]).find_map(|scope| known.get(scope)));
        found.unwrap_or(&self.default)
    }
}

/// A JSON value in which no object has a key twice: of two requirements for one scope, neither could be meant.
struct NoDuplicates(Value);

impl<'d> Deserialize<'d> for NoDuplicates {
    fn deserialize<D: Deserializer<'d>>(deserializer: D) -> Result<NoDuplicates, D::Error> {
        deserializer.deserialize_any(Values).map(NoDuplicates)
    }
}

struct Values;

impl<'d> Visitor<'d> for Values {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'d>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(NoDuplicates(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(all.into())
    }

    fn visit_map<A: MapAccess<'d>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut all = serde_json::Map::new();
        while let Some((key, NoDuplicates(value))) = entries.next_entry::<String, _>()? {
            if all.insert(key.clone(), value).is_some() {
                return Err(de::Error::custom(format!("'{key}' is there twice")));
            }
        }
        Ok(all.into())
    }
}

fn unreadable(file: &Path, why: &str) -> anyhow::Error {
    let found = format!("cannot read the policy {}: {why}", file.display());
    refused(found, "correct it (man containers-policy.json), or name another: --policy FILE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_scope_decides() {
        let policy = PolicyJson::parse(
            br#"{"default":[{"type":"reject"}],"transports":{
            "docker":{"h.example":[{"type":"insecureAcceptAnything"}],"h.example/os":[{"type":"signedBy","keyType":"GPGKeys"}],
                "h.example/os/debian":[{"type":"sigstoreSigned","keyPath":"/k.pub"}]},
            "oci":{"":[{"type":"insecureAcceptAnything"}]}}}"#,
        )
        .unwrap();
        let of = |text: &str| format!("{:?}", policy.requirements(&text.parse().unwrap()));
        assert_eq!(of("h.example/x:1"), "[Accept]");
        assert_eq!(of("h.example/os/x:1"), "[SignedBy]");
        assert!(of("h.example/os/debian:12").contains("/k.pub"));
        assert_eq!(of("other.example/x"), "[Reject]");
        assert_eq!(of("oci:/x"), "[Accept]");
        assert_eq!(of("oci-archive:/x"), "[Reject]");
    }

    #[test]
    fn c18_a_policy_that_is_not_understood_is_refused_as_a_whole() {
        for odd in [
            r#"{}"#,
            r#"{"default":[{"type":"accept"}]}"#,
            r#"{"default":[{"type":"reject","more":1}]}"#,
            r#"{"default":[],"more":1}"#,
            r#"{"default":[{"type":"sigstoreSigned"}]}"#,
            r#"{"default":[{"type":"sigstoreSigned","keyPath":"/k","keyData":"x"}]}"#,
            r#"{"default":[{"type":"sigstoreSigned","fulcio":{}}]}"#,
            r#"{"default":[{"type":"sigstoreSigned","keyPath":"/k","rekorPublicKeyPath":"/r"}]}"#,
            r#"{"default":[{"type":"reject","type":"insecureAcceptAnything"}]}"#,
            r#"{"default":[{"type":"reject"}],"transports":{"docker":{"h":[{"type":"reject"}],"h":[]}}}"#,
            "not json",
        ] {
            assert!(PolicyJson::parse(odd.as_bytes()).is_err(), "{odd}");
        }
    }
}
