//! Tokens that were found good: a signature is checked once, not on each request.
//!
//! Invariants:
//! - nothing that is remembered outlives its token, or the keys that it was checked with;
//! - there are at most [`MAX_SEEN`] twice over, whoever sends how many;
//! - tokens themselves are not kept: a digest of them is.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::{identity::Identity, token::Believed};

/// Tokens that are remembered before the older half is forgotten.
const MAX_SEEN: usize = 8192;

/// What a token's digest is to us. Of a cryptographic hash: nobody can make two tokens of one.
pub(super) type Digest = [u8; 32];

#[derive(Clone)]
struct Good {
    identity: Arc<Identity>,
    until: i64,
}

#[derive(Default)]
struct Halves {
    /// Of the keys of this version.
    version: u64,
    young: HashMap<Digest, Good>,
    old: HashMap<Digest, Good>,
}

/// The tokens that were found good.
#[derive(Default)]
pub(super) struct Seen(Mutex<Halves>);

pub(super) fn digest(token: &str) -> Digest {
    *blake3::hash(token.as_bytes()).as_bytes()
}

impl Seen {
    /// Whose token it is, if it was found good with the keys of `version` and is so at `now`.
    pub(super) fn get(&self, digest: &Digest, version: u64, now: i64) -> Option<Arc<Identity>> {
        let mut halves = self.0.lock();
        if halves.version != version {
            return None;
        }
        if let Some(good) = halves.young.get(digest) {
            return (now < good.until).then(|| Arc::clone(&good.identity));
        }
        // In use: it is not to be forgotten with its half.
        let good = halves.old.remove(digest)?;
        let identity = (now < good.until).then(|| Arc::clone(&good.identity))?;
        halves.keep(*digest, good);
        Some(identity)
    }

    /// Remembers a token that was found good with the keys of `version`.
    pub(super) fn put(&self, digest: Digest, version: u64, believed: Believed) -> Arc<Identity> {
        let Believed { identity, until } = believed;
        let identity = Arc::new(Identity { until: Some((until, version)), ..identity });
        let good = Good { identity: Arc::clone(&identity), until };
        let mut halves = self.0.lock();
        if halves.version < version {
            *halves = Halves { version, ..Halves::default() };
        }
        // One that was checked with keys that are gone meanwhile is checked again next time.
        if halves.version == version {
            halves.keep(digest, good);
        }
        identity
    }
}

impl Halves {
    fn keep(&mut self, digest: Digest, good: Good) {
        if self.young.len() >= MAX_SEEN {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, good);
    }
}

#[cfg(test)]
mod tests;
