//! Where the server is, and how to speak to it.

use std::path::PathBuf;

use reqwest::Url;

use crate::error::Error;

/// Where the server is, and how to speak to it. It holds a token, and so has no `Debug`.
#[derive(Clone, Default)]
pub struct Endpoint {
    /// Base URL, for example `https://pm.example.org`.
    pub server: String,
    /// Bearer token.
    pub token: Option<String>,
    /// PEM file with the authorities to trust beside the system's.
    pub ca_cert: Option<PathBuf>,
    /// Whether to take any certificate: anyone on the way can then read and change everything.
    pub skip_verify: bool,
}

impl Endpoint {
    /// The server at this URL, without a token.
    #[must_use]
    pub fn new(server: &str) -> Self {
        Self { server: server.to_owned(), ..Self::default() }
    }
}

/// The server's base URL: http or https, with a host, without credentials.
///
/// # Errors
///
/// [`Error::Configuration`] for anything else.
pub fn parse_server(server: &str) -> Result<Url, Error> {
    let want = "want a URL such as https://pm.example.org";
    // What has an `@` may hold a password, however wrong the rest of it is.
    let shown = if server.contains('@') { "…" } else { server };
    let mut url = Url::parse(server)
        .map_err(|err| Error::configuration(format!("server {shown:?}: {err}; {want}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Error::configuration(format!("server {shown:?}: {want}")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::configuration(
            "the server's URL holds credentials; give a token instead",
        ));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// Returns `true` if the URL is of this machine itself.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
