//! The keys that are in use now. Whoever reads them from files or fetches them puts them here; a
//! request takes what is here and waits for nobody.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::RwLock;
use tokio::sync::Notify;

use super::key::{Algorithm, Key};

/// Keys, and how often they had changed by then.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) keys: Arc<Vec<Key>>,
    /// Another number: other keys. What was concluded from earlier ones counts no more.
    pub(super) version: u64,
}

/// Keys that are replaced while they are used.
#[derive(Default)]
pub struct KeyRing {
    held: RwLock<Option<Held>>,
    /// The version of what is held, to be read without the lock; 0: nothing is.
    version: AtomicU64,
    missing: Notify,
}

impl KeyRing {
    /// A ring of these keys.
    #[must_use]
    pub fn of(keys: Vec<Key>) -> Arc<Self> {
        let ring = Arc::new(Self::default());
        ring.replace(keys);
        ring
    }

    /// Puts `keys` in the place of those that are held; answers whether they differ.
    pub fn replace(&self, keys: Vec<Key>) -> bool {
        let mut held = self.held.write();
        let is_same = held.as_ref().is_some_and(|held| {
            held.keys.len() == keys.len()
                && held.keys.iter().zip(&keys).all(|(old, new)| old.is_same(new))
        });
        if is_same {
            return false;
        }
        let version = held.as_ref().map_or(1, |held| held.version + 1);
        *held = Some(Held { keys: Arc::new(keys), version });
        self.version.store(version, Ordering::Release);
        true
    }

    /// Whether keys were put here yet.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.version() > 0
    }

    /// The algorithm of each key in use.
    #[must_use]
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let held = self.held.read();
        held.iter().flat_map(|held| held.keys.iter().map(Key::algorithm)).collect()
    }

    /// Ends once a token came whose key is not here: it may be a new one.
    pub async fn key_is_missing(&self) {
        self.missing.notified().await;
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn held(&self) -> Option<Held> {
        self.held.read().clone()
    }

    pub(super) fn tell_missing(&self) {
        self.missing.notify_one();
    }
}
