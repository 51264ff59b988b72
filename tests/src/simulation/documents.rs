//! What packages and deployments are, and were at each revision, as a reader is to see them: one
//! with an intent is what the fate of its push says ([`oprc_models::push`]).
//!
//! What readers are shown, and what users are told, is held to it: all documents of a push change at
//! one revision or none does, a bundle that is pruned has nothing but what was pushed, and each
//! replica's cache shows exactly what was at its revision.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use oprc_cp_storage::{
    keys::Key,
    mvcc::{Commit, Item},
};
use oprc_models::{
    meta::{Meta, Stored},
    names::PushId,
    push::{Envelope, Fate, Progress, PushRecord},
};
use oprc_pm_api::writes::{Applied, BundleWritten, DocumentSpec, Outcome};
use serde::Serialize;
use serde_json::Value;

use super::{
    replica::Replica,
    users::Bundled,
    world::{World, note},
};

/// A document as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) meta: Meta,
    /// What its spec says, in short.
    pub(crate) spec: u64,
}

/// A document that a transaction has changed: what it was and what it is.
pub(crate) type Changed = (Key, Option<Shown>, Option<Shown>);

/// By key and revision: what a document became; none: it went.
type History = BTreeMap<String, BTreeMap<u64, Option<Shown>>>;

/// What documents were.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    history: History,
    /// The documents that were damaged, and the revisions at which they were.
    damaged: BTreeSet<(String, u64)>,
    /// Of lives of the store that it was taken back from.
    undone: Vec<History>,
    /// Caches that are not this far may show what was undone.
    trusted_from: u64,
    /// A push of several transactions has come further: caches are to be looked at.
    pub(crate) is_moving: bool,
}

/// What `spec` says, in short.
pub(crate) fn digest(spec: &impl Serialize) -> u64 {
    let text = serde_json::to_value(spec).map(|value| value.to_string()).unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn is_document(key: &str) -> bool {
    key.starts_with("packages/") || key.starts_with("deployments/")
}

fn envelope(item: Option<&Item>) -> Option<Envelope<Value>> {
    serde_json::from_slice(&item?.key_value.value).ok()
}

fn record(item: Option<&Item>) -> Option<PushRecord> {
    serde_json::from_slice(&item?.key_value.value).ok()
}

/// A push that is decided by a value of its key.
fn is_committed(item: Option<&Item>) -> bool {
    record(item).is_some_and(|record| record.progress == Progress::Committed)
}

impl Documents {
    /// What `key` was at `revision`.
    fn at(&self, key: &str, revision: u64) -> Option<&Shown> {
        let (_, shown) = self.history.get(key)?.range(..=revision).next_back()?;
        shown.as_ref()
    }

    /// Whether `key` became this at this very revision.
    pub(crate) fn became(&self, key: &str, revision: u64, uid: &str, generation: u64) -> bool {
        [&self.history].into_iter().chain(&self.undone).any(|history| {
            let shown = history.get(key).and_then(|of| of.get(&revision)).and_then(Option::as_ref);
            shown.is_some_and(|it| it.meta.uid == uid && it.meta.generation == generation)
        })
    }

    /// Whether `key` was ever this.
    pub(crate) fn was(&self, key: &str, uid: &str, generation: u64, spec: u64) -> bool {
        [&self.history].into_iter().chain(&self.undone).any(|history| {
            history
                .get(key)
                .into_iter()
                .flat_map(BTreeMap::values)
                .flatten()
                .any(|it| it.spec == spec && it.meta.uid == uid && it.meta.generation == generation)
        })
    }

    /// The store was taken back to `revision`: what came after it was in another life.
    fn go_back(&mut self, revision: u64) {
        self.undone.push(self.history.clone());
        self.trusted_from = u64::MAX;
        for of in self.history.values_mut() {
            of.split_off(&(revision + 1));
        }
        self.damaged.retain(|(_, since)| *since <= revision);
    }

    /// Revisions have been raised to `revision`: no cache that shows what was undone is that far.
    pub(crate) fn trust_from(&mut self, revision: u64) {
        self.trusted_from = revision;
    }

    /// How often the store was taken back in its revisions.
    pub(crate) fn n_lives(&self) -> usize {
        self.undone.len()
    }

    /// Whether `key` could not be read at `revision`.
    fn is_damaged(&self, key: &str, revision: u64) -> bool {
        let last = self.history.get(key).and_then(|of| of.range(..=revision).next_back());
        last.is_some_and(|(since, _)| self.damaged.contains(&(key.to_owned(), *since)))
    }

    /// The one revision at which all of `changed` became what they are said to be, but for those that
    /// were damaged by then.
    fn moment(&self, changed: &[&Applied]) -> Option<u64> {
        let became = |it: &&Applied, revision: u64| {
            let shown = self.history.get(&it.key.to_string()).and_then(|of| of.get(&revision));
            shown.and_then(Option::as_ref).is_some_and(|shown| {
                shown.meta.generation == it.generation
                    && shown.meta.is_deleting() == (it.outcome == Outcome::Deleting)
            })
        };
        let histories = changed.iter().filter_map(|it| self.history.get(&it.key.to_string()));
        let revisions: BTreeSet<u64> = histories.flat_map(BTreeMap::keys).copied().collect();
        revisions.into_iter().rev().find(|revision| {
            changed.iter().any(|it| became(it, *revision))
                && changed.iter().all(|it| {
                    became(it, *revision) || self.is_damaged(&it.key.to_string(), *revision)
                })
        })
    }

    /// What is wrong with what a user was told of a push; `is_blind` where a watch has lost a change
    /// without a sign, and so what a bundle has may not be known.
    pub(crate) fn acknowledged_push(
        &self,
        push: &Bundled,
        written: &BundleWritten,
        is_blind: bool,
    ) -> Option<String> {
        let is_change =
            |outcome| matches!(outcome, Outcome::Created | Outcome::Replaced | Outcome::Deleting);
        let changed: Vec<_> = written.applied.iter().filter(|it| is_change(it.outcome)).collect();
        if changed.is_empty() {
            return None;
        }
        let told: Vec<String> = changed
            .iter()
            .map(|it| format!("{} {:?} generation {}", it.key, it.outcome, it.generation))
            .collect();
        let Some(moment) = self.moment(&changed) else {
            return Some(format!("all of a push or nothing: {told:?}, at no one revision"));
        };
        let mut pushed = BTreeSet::new();
        for document in &push.documents {
            let (key, spec) = match &document.spec {
                DocumentSpec::Package(spec) => {
                    let inline = spec.deployments.iter();
                    pushed.extend(inline.map(|inline| format!("deployments/{}", inline.key)));
                    (format!("packages/{}", spec.name), digest(spec))
                }
                DocumentSpec::Deployment(spec) => {
                    (format!("deployments/{}", spec.key), digest(spec))
                }
            };
            let is_written = changed.iter().any(|it| it.key.to_string() == key);
            let is_told = is_written && !self.is_damaged(&key, moment);
            if is_told && self.at(&key, moment).is_none_or(|shown| shown.spec != spec) {
                return Some(format!("{key} at {moment} is not what was pushed"));
            }
            pushed.insert(key);
        }
        let bundle = push.bundle.as_ref().filter(|_| push.is_pruned)?;
        let left = self.history.keys().find(|key| {
            let of_bundle = self.at(key, moment).is_some_and(|shown| {
                shown.meta.bundle.as_ref() == Some(bundle) && !shown.meta.is_deleting()
            });
            of_bundle && !pushed.contains(*key)
        });
        if let Some(left) = left.filter(|_| !is_blind) {
            return Some(format!("{left} is left of bundle {bundle} at {moment}, and was pruned"));
        }
        let pruned = changed.iter().filter(|it| it.outcome == Outcome::Deleting);
        for key in pruned.map(|it| it.key.to_string()) {
            let before = self.at(&key, moment - 1);
            let was_of_bundle = before.is_some_and(|it| {
                it.meta.bundle.as_ref() == Some(bundle) || it.meta.owner.is_some()
            });
            if !was_of_bundle || pushed.contains(&key) {
                return Some(format!("{key} was not to be pruned with bundle {bundle}"));
            }
        }
        None
    }
}

impl World {
    fn fate(&self, push: &PushId) -> Fate {
        let key = Key::Push(push.clone()).to_string();
        match self.store.mvcc.get(&key) {
            None => Fate::Aborted,
            item if is_committed(item) => Fate::Committed,
            Some(_) => Fate::Pending,
        }
    }

    /// What `key` is now, as a reader is to see it; what cannot be read is nothing.
    pub(crate) fn shown(&self, key: &str) -> Option<Shown> {
        let envelope = envelope(self.store.mvcc.get(key))?;
        let fate = envelope.intent.as_ref().map_or(Fate::Aborted, |it| self.fate(&it.push));
        let Stored { meta, spec } = envelope.settled(fate)?;
        Some(Shown { meta, spec: digest(&spec) })
    }

    /// The documents that have an intent, and of which push.
    pub(crate) fn intents(&self) -> Vec<(String, PushId)> {
        let mut found = Vec::new();
        for family in ["packages/", "deployments/"] {
            for (name, it) in self.stored::<Envelope<Value>>(family) {
                found.extend(it.intent.map(|intent| (format!("{family}{name}"), intent.push)));
            }
        }
        found
    }

    /// The store was taken back to `revision`, and what was damaged then is healed.
    pub(crate) fn note_past(&mut self, revision: u64) {
        self.checker.documents.go_back(revision);
        let keys: Vec<String> = self.checker.documents.history.keys().cloned().collect();
        for key in keys {
            let shown = self.shown(&key);
            self.checker.documents.history.entry(key).or_default().insert(revision, shown);
        }
    }

    /// Takes down what the documents are after `commit`; answers those that it changed.
    pub(crate) fn note_documents(&mut self, commit: &Commit) -> Vec<Changed> {
        let mut keys = BTreeSet::new();
        for change in &commit.changes {
            if is_document(&change.key) {
                keys.insert(change.key.clone());
                self.check_intent(&change.key, change.before.as_ref(), change.after.as_ref());
            } else if let Ok(Key::Push(push)) = change.key.parse::<Key>() {
                let of_push: Vec<String> = self
                    .intents()
                    .into_iter()
                    .filter_map(|(key, of)| (of == push).then_some(key))
                    .collect();
                let (before, after) = (change.before.as_ref(), change.after.as_ref());
                self.check_push(&push, before, after, of_push.len());
                keys.extend(of_push);
            }
        }
        let mut changed = Vec::new();
        for key in keys {
            let after = self.shown(&key);
            let stored = self.store.mvcc.get(&key);
            let is_damaged = stored.is_some() && envelope(stored).is_none();
            let documents = &mut self.checker.documents;
            let of = documents.history.entry(key.clone()).or_default();
            let before = of.values().next_back().cloned().flatten();
            of.insert(commit.revision.0, after.clone());
            if is_damaged {
                documents.damaged.insert((key.clone(), commit.revision.0));
            }
            if let Ok(key) = key.parse() {
                changed.push((key, before, after));
            }
        }
        changed
    }

    /// The key of a push has changed, which `n_intents` documents have an intent of.
    fn check_push(
        &mut self,
        push: &PushId,
        before: Option<&Item>,
        after: Option<&Item>,
        n_intents: usize,
    ) {
        self.checker.documents.is_moving = true;
        if self.is_overwriting {
            return;
        }
        match (before, after) {
            (None, Some(_)) => self.strike("push staged"),
            (Some(_), Some(_)) if is_committed(after) && !is_committed(before) => {
                note!(self, "push {push} is committed, with {n_intents} intents");
                self.strike("push of several transactions committed");
                let n_documents = record(after).map(|record| record.n_documents);
                let is_whole = n_documents == u64::try_from(n_intents).ok();
                if !is_whole && self.spoilt.is_empty() {
                    self.violated(format!(
                        "all of a push or nothing: {push} of {n_documents:?} documents is \
                         committed with {n_intents} intents"
                    ));
                }
            }
            (Some(_), None) if is_committed(before) => {
                if n_intents > 0 && self.spoilt.is_empty() {
                    self.violated(format!(
                        "all of a push or nothing: {push} is gone, and {n_intents} documents \
                         were not made what they are"
                    ));
                }
            }
            (Some(_), None) => {
                note!(self, "push {push} has ended undecided, with {n_intents} intents");
                self.strike("push ended undecided");
            }
            _ => self.violated(format!("push {push} is not to change")),
        }
    }

    /// An intent of a push that is undecided stays.
    fn check_intent(&mut self, key: &str, before: Option<&Item>, after: Option<&Item>) {
        self.checker.documents.is_moving |= self.has_pushes();
        let of = |item| envelope(item).and_then(|it| it.intent).map(|intent| intent.push);
        let Some(push) = of(before) else { return };
        let is_kept = of(after).as_ref() == Some(&push);
        if !is_kept && !self.is_overwriting && self.fate(&push) == Fate::Pending {
            self.violated(format!("the intent of {push}, undecided, is taken out of {key}"));
        }
    }

    fn has_pushes(&self) -> bool {
        self.store.mvcc.list("pushes/", None, 1, None).is_ok_and(|page| !page.items.is_empty())
    }

    /// The cache of `replica` shows each document as it was at the cache's revision.
    pub(crate) fn check_reads(&mut self, replica: &Replica) {
        let Some(at) = replica.cache.position().revision else { return };
        if self.checker.is_blind || at.0 < self.checker.documents.trusted_from {
            return;
        }
        let state = replica.cache.read();
        let packages = state.packages.iter();
        let packages = packages.map(|(name, it)| (format!("packages/{name}"), &it.value.meta));
        let deployments = state.deployments.iter();
        let deployments =
            deployments.map(|(key, it)| (format!("deployments/{key}"), &it.value.meta));
        let shown: BTreeMap<String, &Meta> = packages.chain(deployments).collect();
        let documents = &self.checker.documents;
        let mut keys = documents.history.keys().chain(shown.keys());
        let wrong = keys.find_map(|key| {
            let want = documents.at(key, at.0).map(|shown| &shown.meta);
            let have = shown.get(key).copied();
            (want != have).then(|| format!("{key} as {have:?}, want {want:?}"))
        });
        if let Some(wrong) = wrong {
            let who = replica.link.replica;
            self.violated(format!("reads are of one moment: r{who} at {at} shows {wrong}"));
        }
    }
}
