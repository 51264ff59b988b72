//! The token that callers must send, and its file, read again when it changes.
//!
//! Invariant: what is kept and compared is a hash, in constant time: neither memory nor timing tells
//! the token.

use std::{io, sync::Arc, time::Duration};

use oprc_config::Credential;
use parking_lot::RwLock;
use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;

/// Between two looks at the file.
const REFRESH_INTERVAL: Duration = Duration::from_secs(2);

/// The token as it is now.
pub(crate) struct Tokens {
    credential: Credential,
    hash: RwLock<blake3::Hash>,
}

impl Tokens {
    /// Reads the token.
    pub(crate) fn load(credential: Credential) -> io::Result<Self> {
        let hash = RwLock::new(read(&credential)?);
        Ok(Self { credential, hash })
    }

    /// Whether `token` is the one.
    pub(crate) fn accept(&self, token: &str) -> bool {
        // Comparing two `blake3::Hash`es takes constant time.
        blake3::hash(token.as_bytes()) == *self.hash.read()
    }
}

fn read(credential: &Credential) -> io::Result<blake3::Hash> {
    Ok(blake3::hash(credential.read()?.expose().as_bytes()))
}

/// Reads the file again and again until `stop`. While it cannot be read the last token stays.
pub(crate) async fn run(tokens: Arc<Tokens>, stop: CancellationToken) {
    if matches!(tokens.credential, Credential::Value(_)) {
        return stop.cancelled().await;
    }
    let mut was_readable = true;
    while stop.run_until_cancelled(sleep(REFRESH_INTERVAL)).await.is_some() {
        let credential = tokens.credential.clone();
        let outcome = spawn_blocking(move || read(&credential)).await;
        match outcome.unwrap_or_else(|err| Err(io::Error::other(err))) {
            Ok(hash) => {
                let has_changed = hash != *tokens.hash.read();
                *tokens.hash.write() = hash;
                if has_changed {
                    tracing::info!("the token has changed");
                }
                was_readable = true;
            }
            Err(err) => {
                if was_readable {
                    tracing::warn!(error = %err, "the token cannot be read; the last one stays");
                }
                was_readable = false;
            }
        }
    }
}
