//! The platform to choose from those that an index offers.

use crate::error::{Result, usage};
use std::fmt;
use std::str::FromStr;

/// A processor architecture by its GOARCH name, as in OCI images, with an optional variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// GOARCH name: `amd64`, `arm64`, …
    pub architecture: String,
    /// Variant of the architecture: `v8`, `v7`, …; `None` accepts any.
    pub variant: Option<String>,
}

impl Platform {
    /// Returns this machine's platform, of any variant.
    pub fn of_this_machine() -> Platform {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            other => other,
        };
        Platform { architecture: architecture.to_owned(), variant: None }
    }

    /// Returns true if an image for `os`, `architecture` and `variant` is for this platform.
    pub fn matches(&self, os: &str, architecture: &str, variant: Option<&str>) -> bool {
        os == "linux"
            && architecture == self.architecture
            && self.variant.as_deref().is_none_or(|wanted| variant == Some(wanted))
    }
}

impl FromStr for Platform {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Platform> {
        let (architecture, variant) = text.split_once('/').map_or((text, None), |(a, v)| (a, Some(v)));
        let architecture = match architecture {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        if architecture.is_empty() || !architecture.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(usage(format!("'{text}' is not an architecture"), "write --arch amd64, arm64, or arm/v7"));
        }
        Ok(Platform { architecture: architecture.to_owned(), variant: variant.map(ToOwned::to_owned) })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}
