//! How to reach a CRM: what the configuration says, checked.

use std::{fmt, path::PathBuf, time::Duration};

use oprc_models::names::ClusterName;
use reqwest::Url;

/// A text that logs and messages never show.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// The text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where the bearer token is from.
#[derive(Clone, Debug, Default)]
pub enum TokenSource {
    /// There is none.
    #[default]
    None,
    /// The token.
    Value(Secret),
    /// A file that holds it, read again when it changes.
    File(PathBuf),
}

/// How to reach the CRM of one cluster.
///
/// The files are read again when they change. One that is missing or unusable fails the calls, as
/// [`crate::CallError::Unauthorized`], until it is put right.
#[derive(Clone, Debug)]
pub struct CrmOptions {
    /// The cluster: a metric's label.
    pub cluster: ClusterName,
    /// Base URLs of the cluster's one CRM, tried in turn: `http` or `https`, without credentials.
    pub endpoints: Vec<String>,
    /// The bearer token.
    pub token: TokenSource,
    /// PEM bundle of the only authorities to trust; none: the platform's.
    pub ca_cert_path: Option<PathBuf>,
    /// PEM chain of the client certificate; used with `client_key_path`.
    pub client_cert_path: Option<PathBuf>,
    /// PEM private key of the client certificate.
    pub client_key_path: Option<PathBuf>,
    /// The longest that a call takes from beginning to end, on all endpoints together. Of a watch:
    /// until it begins.
    pub timeout: Duration,
    /// The longest that making one connection takes.
    pub connect_timeout: Duration,
    /// How many calls of `apply` and `delete` go at a time; the others wait, in order.
    pub max_in_flight: usize,
}

/// Options that no client can be made of.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOptions {
    /// There is no endpoint.
    #[error("cluster {cluster} has no endpoint")]
    NoEndpoint {
        /// The cluster.
        cluster: ClusterName,
    },
    /// An endpoint cannot be used.
    #[error("{endpoint:?} is not an endpoint of cluster {cluster}: {why}")]
    Endpoint {
        /// The cluster.
        cluster: ClusterName,
        /// What was given, without the credentials that it may hold.
        endpoint: String,
        /// What is wrong with it.
        why: String,
    },
    /// A client certificate without its key, or a key without its certificate.
    #[error("cluster {cluster} needs both a client certificate and its key, or neither")]
    HalfIdentity {
        /// The cluster.
        cluster: ClusterName,
    },
}

impl CrmOptions {
    /// The endpoints, each with a path that ends in `/`.
    pub(crate) fn base_urls(&self) -> Result<Vec<Url>, InvalidOptions> {
        let cluster = &self.cluster;
        if self.endpoints.is_empty() {
            return Err(InvalidOptions::NoEndpoint { cluster: cluster.clone() });
        }
        if self.client_cert_path.is_some() != self.client_key_path.is_some() {
            return Err(InvalidOptions::HalfIdentity { cluster: cluster.clone() });
        }
        let parse = |endpoint: &String| {
            base_url(endpoint).map_err(|why| InvalidOptions::Endpoint {
                cluster: cluster.clone(),
                endpoint: without_credentials(endpoint),
                why,
            })
        };
        self.endpoints.iter().map(parse).collect()
    }
}

fn base_url(endpoint: &str) -> Result<Url, String> {
    let mut url = Url::parse(endpoint).map_err(|err| err.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("want http or https".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("want no credentials in it".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("want neither query nor fragment".to_owned());
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// `endpoint` without what may be a user and a password.
fn without_credentials(endpoint: &str) -> String {
    match (endpoint.split_once("://"), endpoint.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        (None, Some((_, rest))) => rest.to_owned(),
        (_, None) => endpoint.to_owned(),
    }
}

#[cfg(test)]
mod tests;
