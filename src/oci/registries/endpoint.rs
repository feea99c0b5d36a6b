//! A place to fetch an image from: the registry that its name says, or a mirror.

/// A repository at a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host, with its port if one is given.
    pub host: String,
    /// Repository there.
    pub repository: String,
    /// Protection of the connection.
    pub transport: Transport,
}

/// The protection of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TLS with a verified certificate; for this machine itself, none.
    Tls,
    /// TLS with any certificate: credentials are not sent.
    UnverifiedTls,
    /// No TLS: credentials are not sent, except to this machine itself.
    Plain,
}
