//! Intents: what documents become once a push of several transactions is committed.
//!
//! What is shown of a document is a function of its key's value and of its push's fate, so that
//! the one write which commits a push changes all its documents at one revision.
//!
//! It decides nothing about pushes: [`State::settling`] says how a decided one is finished.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use oprc_cp_storage::{KeyValue, Op, Precondition, Revision, Write, keys::Key};
use oprc_models::{
    deployment::OClassDeployment,
    meta::Stored,
    names::PushId,
    package::OPackage,
    push::{Envelope, Fate, Progress},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{Changed, Entry, State, none, read, remove_from};

/// What a document is to become, and where that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Whose it is.
    pub push: PushId,
    /// The document's key, as it is stored.
    pub(super) stored: KeyValue,
}

impl Intent {
    /// How long the document's text is, with the intent.
    pub(in crate::cache) fn n_bytes(&self) -> usize {
        self.stored.value.len()
    }
}

/// The documents that have an intent.
#[derive(Debug, Default)]
pub(super) struct Intents {
    by_key: BTreeMap<Key, Intent>,
    by_push: BTreeMap<PushId, BTreeSet<Key>>,
}

impl Intents {
    fn put(&mut self, key: &Key, intent: Option<Intent>) {
        if let Some(old) = self.by_key.remove(key) {
            remove_from(&mut self.by_push, &old.push, key);
        }
        if let Some(intent) = intent {
            self.by_push.entry(intent.push.clone()).or_default().insert(key.clone());
            self.by_key.insert(key.clone(), intent);
        }
    }

    /// The documents with an intent whose keys begin with `prefix`, and the revisions of their last
    /// writes.
    pub(super) fn stored<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, Revision)> + 'a {
        let stored = self.by_key.values().map(|intent| &intent.stored);
        stored
            .filter(move |stored| stored.key.starts_with(prefix))
            .map(|stored| (stored.key.as_str(), stored.mod_revision))
    }

    /// The keys whose intents differ from those of `before`.
    pub(super) fn differing<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = Key> + 'a {
        let keys = self.by_key.keys().chain(before.by_key.keys());
        keys.filter(|key| self.by_key.get(key) != before.by_key.get(key)).cloned()
    }
}

impl State {
    /// What became of `push`.
    #[must_use]
    pub fn fate(&self, push: &PushId) -> Fate {
        match self.pushes.get(push).map(|entry| entry.value.progress) {
            Some(Progress::Committed) => Fate::Committed,
            Some(Progress::Pending) => Fate::Pending,
            // What it says cannot be read or was never seen, so nothing may be concluded.
            None if self.unreadable.contains_key(&Key::Push(push.clone())) => Fate::Pending,
            None if self.unknown_pushes.contains(push) => Fate::Pending,
            None => Fate::Aborted,
        }
    }

    /// Whether any document has an intent.
    #[must_use]
    pub fn has_intents(&self) -> bool {
        !self.intents.by_key.is_empty()
    }

    /// How many documents have an intent.
    pub(in crate::cache) fn n_intents(&self) -> usize {
        self.intents.by_key.len()
    }

    /// The intent that stands beside the document `key`, whatever its push's fate.
    #[must_use]
    pub fn intent(&self, key: &Key) -> Option<&Intent> {
        self.intents.by_key.get(key)
    }

    /// The documents with intents of `push`.
    #[must_use]
    pub fn intents_of_push(&self, push: &PushId) -> &BTreeSet<Key> {
        self.intents.by_push.get(push).unwrap_or(none())
    }

    /// The pushes that are not done with: their key is there, or an intent of theirs.
    pub fn unfinished_pushes(&self) -> impl Iterator<Item = &PushId> {
        self.pushes.keys().chain(self.intents.by_push.keys())
    }

    /// The revision of the last write to the key of a document that is `shown` at this one, which a
    /// compare-and-swap by someone who knows of intents needs.
    #[must_use]
    pub fn revision_in_store(&self, key: &Key, shown: Option<Revision>) -> Option<Revision> {
        self.intent(key).map(|intent| intent.stored.mod_revision).or(shown)
    }

    /// Looks whether `key`, which a watch has just told of, has an intent of a push whose key is not
    /// there. An intent is only written where the key is, so then the watch has lost that.
    pub(in crate::cache) fn note_unknown_push(&mut self, key: &Key) {
        let Some(push) = self.intent(key).map(|intent| &intent.push) else { return };
        let is_known = self.pushes.contains_key(push)
            || self.unreadable.contains_key(&Key::Push(push.clone()));
        if !is_known {
            self.unknown_pushes.insert(push.clone());
        }
    }

    /// A push that was never seen, though an intent of it was.
    pub(in crate::cache) fn unknown_push(&self) -> Option<&PushId> {
        self.unknown_pushes.first()
    }

    /// The writes that make documents of `push` what they are, without an intent: at most `max_ops`
    /// and, the first aside, `max_bytes` of values. None while its fate is not decided.
    #[must_use]
    pub fn settling(&self, push: &PushId, max_ops: usize, max_bytes: usize) -> Vec<Write> {
        let fate = self.fate(push);
        if fate == Fate::Pending {
            return Vec::new();
        }
        let mut writes = Vec::new();
        let mut n_bytes = 0;
        for key in self.intents_of_push(push).iter().take(max_ops) {
            let Some(Intent { stored, .. }) = self.intent(key) else { continue };
            n_bytes += key.to_string().len() + stored.value.len();
            if n_bytes > max_bytes && !writes.is_empty() {
                break;
            }
            let op = match key {
                Key::Package(_) => settled::<OPackage>(&stored.value, fate),
                Key::Deployment(_) => settled::<OClassDeployment>(&stored.value, fate),
                _ => None,
            };
            let precondition = Precondition::At(stored.mod_revision);
            writes.extend(op.map(|op| Write { key: key.to_string(), precondition, op }));
        }
        writes
    }

    /// What is shown of the document that is `stored` under `key`, and the intent beside it noted.
    pub(super) fn shown<T: DeserializeOwned + Clone>(
        &mut self,
        key: &Key,
        stored: Option<&KeyValue>,
        flaw: &mut Option<String>,
    ) -> Option<Entry<Stored<T>>> {
        let envelope: Option<Entry<Envelope<T>>> = read(stored, flaw, |text: Bytes| {
            let roomy: Envelope<T> = serde_json::from_slice(&text)?;
            Ok(roomy.clone())
        });
        let envelope = envelope.and_then(|entry| std::sync::Arc::into_inner(entry.value));
        let (Some(envelope), Some(stored)) = (envelope, stored) else {
            self.intents.put(key, None);
            return None;
        };
        let Some(intent) = &envelope.intent else {
            self.intents.put(key, None);
            let value = envelope.current?.into();
            return Some(Entry { value, revision: stored.mod_revision });
        };
        let noted = Intent { push: intent.push.clone(), stored: stored.clone() };
        let committed_at = self.pushes.get(&intent.push).map(|entry| entry.revision);
        let (fate, since) = (self.fate(&intent.push), Revision(intent.since));
        self.intents.put(key, Some(noted));
        let revision = match fate {
            Fate::Committed => committed_at.unwrap_or(since),
            Fate::Pending | Fate::Aborted => since,
        };
        Some(Entry { value: envelope.settled(fate)?.into(), revision })
    }

    /// Shows the documents with intents of `push` as its fate has it; answers those that changed.
    pub(super) fn settle(&mut self, push: &PushId) -> Vec<Changed> {
        let keys: Vec<Key> = self.intents_of_push(push).iter().cloned().collect();
        let changed = keys.iter().filter_map(|key| {
            let before = self.shown_at(key);
            let stored = self.intent(key)?.stored.clone();
            let changed = self.put(key, Some(&stored));
            (self.shown_at(key) != before).then_some(changed)
        });
        changed.collect()
    }
}

/// What makes the document that is `stored` what it is by the fate of its push.
fn settled<T: DeserializeOwned + Serialize>(stored: &[u8], fate: Fate) -> Option<Op> {
    let envelope: Envelope<T> = serde_json::from_slice(stored).ok()?;
    match envelope.settled(fate) {
        Some(document) => Some(Op::Put(serde_json::to_vec(&document).ok()?.into())),
        None => Some(Op::Delete),
    }
}
