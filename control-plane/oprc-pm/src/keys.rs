//! The keys that tokens are checked with: read from files and fetched from a URL, at the start and
//! ever again. Requests wait for none of it.
//!
//! Invariants:
//! - each source is kept by itself: what happens to one changes nothing about the keys of another,
//!   and a URL that does not answer delays no file;
//! - a source that has no keys, as a file that is gone, gives none: its keys are withdrawn with the
//!   next look at it;
//! - the last good keys of a source that cannot be read or does not answer stay in use;
//! - the URL is asked no more often than every [`MIN_PAUSE`], however many tokens of unknown keys
//!   come.

mod fetch;
mod source;
#[cfg(test)]
mod tests;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use oprc_config::pm::{Auth, Jwt};
use oprc_pm_api::auth::{Access, Guard, InvalidKey, InvalidSet, Key, KeyRing, Rules};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

pub(crate) use self::source::describe_metrics;
use self::{
    fetch::{Fetch, FetchError},
    source::{Origin, Source},
};

/// Between two looks at the files. A look is a read of a few kilobytes; Kubernetes itself takes a
/// minute to show a changed secret.
const LOOK: Duration = Duration::from_secs(2);

/// Between two fetches, at least.
pub(crate) const MIN_PAUSE: Duration = Duration::from_secs(5);

/// Why a source has no keys, or why they cannot be had.
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

impl KeyError {
    /// Returns `true` if the source says that it has no keys: its file is gone, or its set has no
    /// key that can be used. In every other case it is not known which keys it has now.
    fn is_withdrawal(&self) -> bool {
        match self {
            Self::Secret(source) | Self::Read { source, .. } => {
                source.kind() == io::ErrorKind::NotFound
            }
            Self::BadSet { source, .. } | Self::Fetch(FetchError::BadSet { source, .. }) => {
                matches!(source, InvalidSet::NoKey)
            }
            Self::BadSecret(_) | Self::BadKey { .. } | Self::Fetch(_) => false,
        }
    }
}

/// The sources of keys, and the ring that holds the keys of all of them.
pub(crate) struct Sources {
    files: Vec<Source>,
    fetch: Option<(Fetch, Source)>,
    shared: Shared,
}

/// The keys of each source, and the ring that is filled with them.
struct Shared {
    ring: Arc<KeyRing>,
    /// By the source's place; the URL's is the last.
    keys: Mutex<Vec<Vec<Key>>>,
}

impl Shared {
    /// Puts the keys of the source at `place` into the ring, beside those of the others.
    fn put(&self, place: usize, keys: Vec<Key>) {
        let mut all = self.keys.lock();
        if let Some(held) = all.get_mut(place) {
            *held = keys;
        }
        let keys: Vec<Key> = all.iter().flatten().cloned().collect();
        // At the start, with a URL alone, there is nothing yet: callers are told to come back.
        if (self.ring.is_filled() || !keys.is_empty()) && self.ring.replace(keys) {
            tracing::info!("the keys of tokens have changed");
        }
    }
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
    let guard = Guard::new(sources.ring(), rules)
        .with_admins(jwt.admins.iter().cloned(), jwt.admin_groups.iter().cloned());
    let guard = if jwt.has_open_metrics { guard.with_open_metrics() } else { guard };
    Ok((Access::Guarded(Arc::new(guard)), Some(sources)))
}

impl Sources {
    fn new(jwt: &Jwt) -> Result<Self, KeyError> {
        let secret = jwt.secret.iter().map(|secret| Origin::Secret(secret.clone()));
        let pem_files = jwt.public_key_files.iter().map(|path| Origin::Pem(path.clone()));
        let set = jwt.jwks_file.iter().map(|path| Origin::Set(path.clone()));
        let origins = secret.chain(pem_files).chain(set);
        let files: Vec<Source> = origins.map(Source::new).collect();
        let fetch = jwt.jwks_url.as_ref().map(Fetch::new).transpose()?;
        let fetch = fetch.map(|fetch| (fetch, Source::new(Origin::Url)));
        let keys = Mutex::new(vec![Vec::new(); files.len() + 1]);
        let sources = Self { files, fetch, shared: Shared { ring: Arc::default(), keys } };
        for (place, source) in sources.files.iter().enumerate() {
            sources.shared.put(place, source.origin.read()?);
        }
        Ok(sources)
    }

    /// The ring that is kept up to date.
    pub(crate) fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.shared.ring)
    }

    /// Keeps the keys up to date, for ever.
    pub(crate) async fn keep(self) {
        let Self { files, fetch, shared } = self;
        let place = files.len();
        let of_url = async {
            match fetch {
                Some((fetch, source)) => keep_fetched(&shared, place, &fetch, source).await,
                None => std::future::pending().await,
            }
        };
        tokio::join!(keep_files(&shared, files), of_url);
    }
}

/// Reads the files again and again.
async fn keep_files(shared: &Shared, mut files: Vec<Source>) {
    loop {
        sleep(LOOK).await;
        for (place, source) in files.iter_mut().enumerate() {
            let read = source.origin.read();
            if let Some(keys) = source.judge(read) {
                shared.put(place, keys);
            }
        }
    }
}

/// Fetches the URL again and again.
async fn keep_fetched(shared: &Shared, place: usize, fetch: &Fetch, mut source: Source) {
    loop {
        let began = Instant::now();
        let fetched = fetch.get().await.map_err(KeyError::from);
        let pause = if fetched.is_ok() { fetch.refresh } else { MIN_PAUSE };
        if let Some(keys) = source.judge(fetched) {
            shared.put(place, keys);
        }
        let mut due = began + pause;
        // A token of an unknown key brings the next fetch forward.
        while timeout_at(due, shared.ring.key_is_missing()).await.is_ok() {
            due = due.min(began + MIN_PAUSE);
        }
    }
}
