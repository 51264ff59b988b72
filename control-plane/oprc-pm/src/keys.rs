//! The keys that tokens are checked with: read from files and fetched from a URL, at the start and
//! ever again. Requests wait for none of it.
//!
//! Invariants:
//! - what was read last stays in use while a file cannot be read or the URL does not answer;
//! - a key that a source no longer has goes out of use with the next look at it;
//! - the URL is asked no more often than every [`MIN_PAUSE`], however many tokens of unknown keys
//!   come.

mod fetch;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use oprc_config::{
    Credential,
    pm::{Auth, Jwt},
};
use oprc_observability::Report;
use oprc_pm_api::auth::{
    Access, Guard, InvalidKey, InvalidSet, Key, KeyRing, MAX_SET_BYTES, Rules, read_jwks,
};
use tokio::time::{Instant, sleep_until, timeout_at};

use self::fetch::{Fetch, FetchError};

/// Between two looks at the files. A look is a read of a few kilobytes; Kubernetes itself takes a
/// minute to show a changed secret.
const LOOK: Duration = Duration::from_secs(2);

/// Between two fetches, at least.
pub(crate) const MIN_PAUSE: Duration = Duration::from_secs(5);

/// The largest file with a public key, in bytes.
const MAX_PEM_BYTES: usize = 64 << 10;

/// Why keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The shared secret cannot be read.
    #[error("the shared secret of tokens cannot be read")]
    Secret(#[source] io::Error),
    /// The shared secret cannot be used.
    #[error("the shared secret of tokens cannot be used")]
    BadSecret(#[source] InvalidKey),
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file has no key that can be used.
    #[error("{} has no key of tokens", path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: InvalidKey,
    },
    /// A file is no set of keys.
    #[error("{} has no keys of tokens", path.display())]
    BadSet {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: InvalidSet,
    },
    /// The client for the URL cannot be made.
    #[error("keys of tokens cannot be fetched")]
    Fetch(#[from] FetchError),
}

/// Where the keys come from.
pub(crate) struct Sources {
    secret: Option<Credential>,
    pem_files: Vec<PathBuf>,
    jwks_file: Option<PathBuf>,
    fetch: Option<Fetch>,
    /// What was fetched last.
    fetched: Vec<Arc<[u8]>>,
    ring: Arc<KeyRing>,
}

/// Who may do what as `auth` has it, and what keeps the keys up to date, where there are keys.
///
/// # Errors
///
/// A file that has no key: at the start that is a mistake. A URL that does not answer is not.
pub(crate) fn access(auth: &Auth) -> Result<(Access, Option<Sources>), KeyError> {
    let jwt = match auth {
        Auth::Anonymous => return Ok((Access::Open, None)),
        Auth::Jwt(jwt) => jwt,
    };
    let sources = Sources::new(jwt)?;
    let rules = Rules {
        issuer: jwt.issuer.clone(),
        audience: jwt.audience.clone(),
        leeway_secs: jwt.leeway.as_secs(),
        subject_claim: jwt.subject_claim.clone(),
        groups_claim: jwt.groups_claim.clone(),
    };
    let guard = Guard::new(Arc::clone(&sources.ring), rules)
        .with_admins(jwt.admins.iter().cloned(), jwt.admin_groups.iter().cloned());
    let guard = if jwt.has_open_metrics { guard.with_open_metrics() } else { guard };
    Ok((Access::Guarded(Arc::new(guard)), Some(sources)))
}

impl Sources {
    fn new(jwt: &Jwt) -> Result<Self, KeyError> {
        let sources = Self {
            secret: jwt.secret.clone(),
            pem_files: jwt.public_key_files.clone(),
            jwks_file: jwt.jwks_file.clone(),
            fetch: jwt.jwks_url.as_ref().map(Fetch::new).transpose()?,
            fetched: Vec::new(),
            ring: Arc::default(),
        };
        let keys = sources.read()?;
        // With a URL alone there is nothing yet, and callers are told to come back.
        if !keys.is_empty() {
            sources.ring.replace(keys);
        }
        Ok(sources)
    }

    /// Where the keys are.
    pub(crate) fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring)
    }

    /// All keys: of the files as they are now, and of the URL as it last was.
    fn read(&self) -> Result<Vec<Key>, KeyError> {
        let mut keys = Vec::new();
        if let Some(secret) = &self.secret {
            let secret = secret.read().map_err(KeyError::Secret)?;
            let key = Key::from_secret(secret.expose().as_bytes()).map_err(KeyError::BadSecret)?;
            keys.push(key);
        }
        for path in &self.pem_files {
            let bad = |source| KeyError::BadKey { path: path.clone(), source };
            keys.push(Key::from_pem(&contents(path, MAX_PEM_BYTES)?).map_err(bad)?);
        }
        if let Some(path) = &self.jwks_file {
            let bad = |source| KeyError::BadSet { path: path.clone(), source };
            keys.extend(read_jwks(&contents(path, MAX_SET_BYTES)?).map_err(bad)?);
        }
        for text in &self.fetched {
            // It was read once before it was kept.
            keys.extend(read_jwks(text).unwrap_or_default());
        }
        Ok(keys)
    }

    /// Takes what the sources have now.
    fn refresh(&self, failing: &mut bool) {
        match self.read() {
            Ok(keys) if keys.is_empty() => {}
            Ok(keys) => {
                *failing = false;
                if self.ring.replace(keys) {
                    tracing::info!("the keys of tokens have changed");
                }
            }
            // Once, not every two seconds.
            Err(error) if !*failing => {
                *failing = true;
                tracing::warn!(error = %Report(&error), "keys of tokens cannot be read; those read before stay in use");
            }
            Err(_) => {}
        }
    }

    /// Keeps the keys up to date, for ever.
    pub(crate) async fn keep(mut self) {
        let mut failing = false;
        let Some(fetch) = self.fetch.take() else {
            loop {
                sleep_until(Instant::now() + LOOK).await;
                self.refresh(&mut failing);
            }
        };
        let ring = Arc::clone(&self.ring);
        let mut last = Instant::now();
        let mut due = last;
        loop {
            let now = Instant::now();
            if now >= due {
                last = now;
                due = match fetch.get().await {
                    Ok(text) => {
                        self.fetched = vec![text];
                        last + fetch.refresh
                    }
                    Err(error) => {
                        tracing::warn!(error = %Report(&error), "keys of tokens cannot be fetched; those fetched before stay in use");
                        last + MIN_PAUSE
                    }
                };
            }
            self.refresh(&mut failing);
            let next_look = Instant::now() + LOOK;
            // Who sends tokens of unknown keys moves the next fetch, and makes nothing be read.
            while timeout_at(next_look.min(due), ring.key_is_missing()).await.is_ok() {
                due = due.min(last + MIN_PAUSE);
            }
        }
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
