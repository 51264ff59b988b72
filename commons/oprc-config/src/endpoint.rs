//! The address of a server over HTTP: etcd's, a CRM's, our own.

use std::{fmt, net::IpAddr, str::FromStr};

use http::Uri;

use crate::value::{Invalid, Setting};

/// The base URL of a server, for example `https://crm.example.org:8443`.
///
/// Invariant: `http` or `https`, with a host, without user, query or fragment, and without a `/` at
/// the end, so that a path can be appended. It holds no secret and may be logged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint(Box<str>);

impl Endpoint {
    /// The URL as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl Endpoint {
    /// Whether nothing that is sent there leaves this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let uri: Option<Uri> = self.0.parse().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
        let host = host.trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl Endpoint {
    /// The same server and path over an encrypted connection.
    #[must_use]
    pub(crate) fn into_https(self) -> Self {
        match self.0.strip_prefix("http://") {
            Some(rest) => Self(format!("https://{rest}").into()),
            None => self,
        }
    }
}

impl FromStr for Endpoint {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let uri: Uri = text.parse().map_err(|_| Invalid)?;
        let scheme = uri.scheme_str().unwrap_or_default().to_ascii_lowercase();
        let authority = uri.authority().ok_or(Invalid)?;
        let has_user = authority.as_str().contains('@');
        // `Uri` accepts `host:` and `host:99999`; both would fail later, at the first call.
        let has_bad_port = authority.port().is_none() && authority.as_str().ends_with(':')
            || authority.port().is_some() && authority.port_u16().is_none();
        let is_plain = uri.query().is_none() && !text.contains('#');
        if !matches!(scheme.as_str(), "http" | "https")
            || authority.host().is_empty()
            || has_user
            || has_bad_port
            || !is_plain
        {
            return Err(Invalid);
        }
        let path = uri.path().trim_end_matches('/');
        Ok(Self(format!("{scheme}://{authority}{path}").into()))
    }
}

impl Setting for Endpoint {
    // Somebody may have written a password into the URL.
    const IS_SECRET: bool = true;
    fn want() -> String {
        "a URL, http:// or https://, without user or query".to_owned()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
