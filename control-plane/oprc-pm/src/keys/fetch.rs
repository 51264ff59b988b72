//! Fetches a JSON Web Key Set. It follows no redirect, and takes no more than a set can have.

use std::{io, path::PathBuf, sync::Once, time::Duration};

use oprc_config::pm::JwksUrl;
use oprc_pm_api::auth::{InvalidSet, Key, MAX_SET_BYTES, read_jwks};
use reqwest::{Certificate, Client, StatusCode, redirect::Policy};

/// How long a fetch may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why keys were not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The authorities cannot be read.
    #[error("{} has no certificates of authorities", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// No client can be made.
    #[error("no client can be made")]
    Client(#[source] reqwest::Error),
    /// Nobody answered, or not to the end.
    #[error("no answer from {url}")]
    Lost {
        /// The URL.
        url: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// Another answer than 200.
    #[error("{url} answers {status}")]
    Status {
        /// The URL.
        url: String,
        /// The answer.
        status: StatusCode,
    },
    /// Not a set of keys.
    #[error("{url} has no keys of tokens")]
    BadSet {
        /// The URL.
        url: String,
        /// The cause.
        #[source]
        source: InvalidSet,
    },
}

/// A client of one URL.
pub(super) struct Fetch {
    client: Client,
    url: String,
    /// Time between two fetches.
    pub(super) refresh: Duration,
}

impl Fetch {
    pub(super) fn new(from: &JwksUrl) -> Result<Self, FetchError> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // Another user of the library may have been first, with the same.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let mut builder = Client::builder()
            .user_agent(concat!("oprc-pm/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .timeout(TIMEOUT);
        if from.url.is_loopback() {
            builder = builder.no_proxy(); // A proxy's own loopback is not ours.
        }
        if let Some(path) = &from.ca_cert_path {
            let failed = |source| FetchError::Authorities { path: path.clone(), source };
            let pem = std::fs::read(path).map_err(failed)?;
            let authorities = Certificate::from_pem_bundle(&pem)
                .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))?;
            builder = builder.tls_certs_only(authorities);
        }
        let client = builder.build().map_err(FetchError::Client)?;
        Ok(Self { client, url: from.url.as_str().to_owned(), refresh: from.refresh })
    }

    /// Fetches the keys that the set has now.
    pub(super) async fn get(&self) -> Result<Vec<Key>, FetchError> {
        let url = || self.url.clone();
        let lost = |source: reqwest::Error| {
            let source = source.without_url();
            FetchError::Lost { url: url(), source }
        };
        let mut response = self.client.get(&self.url).send().await.map_err(lost)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status { url: url(), status: response.status() });
        }
        let bad = |source| FetchError::BadSet { url: url(), source };
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if text.len() + chunk.len() > MAX_SET_BYTES {
                return Err(bad(InvalidSet::TooLarge(text.len() + chunk.len())));
            }
            text.extend_from_slice(&chunk);
        }
        read_jwks(&text).map_err(bad)
    }
}
