//! One source of keys: how it is read, and whether it fails.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use metrics::{describe_gauge, gauge};
use oprc_config::Credential;
use oprc_observability::Report;
use oprc_pm_api::auth::{Key, MAX_SET_BYTES, read_jwks};
use tokio::time::Instant;

use super::KeyError;

/// The largest file with a public key, in bytes.
const MAX_PEM_BYTES: usize = 64 << 10;

/// Between two log lines about a source that goes on failing.
const REPEAT: Duration = Duration::from_secs(60);

const FAILING: &str = "oprc_pm_auth_failing_sources";

/// Describes this module's metrics to the recorder in place.
pub(crate) fn describe_metrics() {
    describe_gauge!(FAILING, "Sources of keys of tokens that fail now, by kind of source");
}

/// The place where a source's keys are.
pub(super) enum Origin {
    /// The secret that is shared with the issuer.
    Secret(Credential),
    /// PEM file of one public key.
    Pem(PathBuf),
    /// File with a key set.
    Set(PathBuf),
    /// The URL of a key set, which is fetched elsewhere.
    Url,
}

impl Origin {
    /// Value of the metric's label.
    fn label(&self) -> &'static str {
        match self {
            Self::Secret(_) => "secret",
            Self::Pem(_) => "public_key_file",
            Self::Set(_) => "jwks_file",
            Self::Url => "jwks_url",
        }
    }

    /// Reads the keys that a file has now.
    pub(super) fn read(&self) -> Result<Vec<Key>, KeyError> {
        match self {
            Self::Secret(secret) => {
                let secret = secret.read().map_err(KeyError::Secret)?;
                let key = Key::from_secret(secret.expose().as_bytes());
                Ok(vec![key.map_err(KeyError::BadSecret)?])
            }
            Self::Pem(path) => {
                let bad = |source| KeyError::BadKey { path: path.clone(), source };
                Ok(vec![Key::from_pem(&contents(path, MAX_PEM_BYTES)?).map_err(bad)?])
            }
            Self::Set(path) => {
                let bad = |source| KeyError::BadSet { path: path.clone(), source };
                read_jwks(&contents(path, MAX_SET_BYTES)?).map_err(bad)
            }
            Self::Url => Ok(Vec::new()),
        }
    }
}

/// A source, and since when it fails.
pub(super) struct Source {
    pub(super) origin: Origin,
    /// When its failure was logged last; `None`: it does not fail.
    logged: Option<Instant>,
}

impl Source {
    pub(super) fn new(origin: Origin) -> Self {
        // So that the metric is there, with 0, before anything fails.
        gauge!(FAILING, "source" => origin.label()).increment(0.0);
        Self { origin, logged: None }
    }

    /// Returns the keys that the source has, as `read` has it; `None`: those that it had. Logs a
    /// failure at once and then every [`REPEAT`].
    pub(super) fn judge(&mut self, read: Result<Vec<Key>, KeyError>) -> Option<Vec<Key>> {
        let source = self.origin.label();
        let failing = gauge!(FAILING, "source" => source);
        let error = match read {
            Ok(keys) => {
                if self.logged.take().is_some() {
                    failing.decrement(1.0);
                    tracing::info!(source, "this source of keys of tokens is good again");
                }
                return Some(keys);
            }
            Err(error) => error,
        };
        let is_withdrawal = error.is_withdrawal();
        if self.logged.is_none() {
            failing.increment(1.0);
        }
        if self.logged.is_none_or(|at| at.elapsed() >= REPEAT) {
            self.logged = Some(Instant::now());
            let error = Report(&error);
            if is_withdrawal {
                tracing::warn!(source, %error, "this source of keys has none; those it had are withdrawn");
            } else {
                tracing::warn!(source, %error, "keys of tokens cannot be read; those that this source had stay in use");
            }
        }
        is_withdrawal.then(Vec::new)
    }
}

/// What is in the file, which has at most `max` bytes.
fn contents(path: &Path, max: usize) -> Result<Vec<u8>, KeyError> {
    let failed = |source| KeyError::Read { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if usize::try_from(size).map_or(true, |size| size > max) {
        let text = format!("larger than {max} bytes: not keys");
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, text)));
    }
    std::fs::read(path).map_err(failed)
}
