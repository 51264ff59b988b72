//! What is done to the store behind everybody's back: values are damaged and healed, and an older
//! snapshot is brought back.

use std::collections::BTreeMap;

use oprc_cp_storage::{
    KeyValue, Op, Precondition, Revision, Txn, Write,
    keys::Key,
    mvcc::{Mvcc, Options},
};

use oprc_models::{
    installation::Installation,
    push::{Progress, PushRecord},
};

use super::{
    replica::OWNER,
    world::{World, note},
};

/// The keys and values of a store, without the election's, and without events, which go with leases
/// that a snapshot does not hold.
pub(crate) type Snapshot = BTreeMap<String, Vec<u8>>;

/// What the lease of a push lives, in seconds.
const PUSH_TTL_SECS: u32 = 15;

/// By how much the store's revision is raised after it went back: above all that it ever was.
const BUMP: u64 = 1_000_000;

/// A store as it once was: its revision and its keys, without those that a lease holds.
pub(crate) type Past = (Revision, Vec<KeyValue>);

/// What is not a document of any kind.
const GARBAGE: &[u8] = b"{\"half a docum";

/// The families whose values are damaged: a registration is not, since its agent then goes on.
const FAMILIES: [&str; 5] = ["packages/", "deployments/", "units/", "records/", "status/"];

impl World {
    fn snapshot(&self) -> Snapshot {
        let Ok(page) = self.store.mvcc.list("", None, 10_000, None) else { return Snapshot::new() };
        let is_kept =
            |key: &str| !matches!(key.parse::<Key>(), Ok(Key::Leader(_) | Key::Events(_)));
        let items = page.items.into_iter().filter(|item| is_kept(&item.key));
        items.map(|item| (item.key, item.value.to_vec())).collect()
    }

    /// Writes what an operator's hand, or a disk, writes: it asks for no permission.
    fn overwrite(&mut self, values: impl IntoIterator<Item = (String, Option<Vec<u8>>)>) {
        let mut writes = Vec::new();
        for (key, value) in values {
            let at = self.store.mvcc.get(&key).map(|item| item.key_value.mod_revision);
            let precondition = at.map_or(Precondition::Absent, Precondition::At);
            let op = value.map_or(Op::Delete, |value| self.put(&key, value));
            writes.push(Write { key, precondition, op });
        }
        let txn = Txn { checks: Vec::new(), writes };
        self.is_overwriting = true;
        let done = self.commit(None, |mvcc, pending, now| pending.txn(mvcc, txn, now));
        self.is_overwriting = false;
        if let Err(error) = done {
            note!(self, "store was not overwritten: {error}");
        }
    }

    /// The write of `value`: of a push that is undecided, under a lease, which etcd restores with it.
    fn put(&mut self, key: &str, value: Vec<u8>) -> Op {
        let record: Option<PushRecord> = serde_json::from_slice(&value).ok();
        let is_undecided = record.is_some_and(|record| record.progress == Progress::Pending);
        if key.starts_with("pushes/") && is_undecided {
            let lease = self.grant_lease(PUSH_TTL_SECS);
            return Op::PutLeased(value.into(), lease);
        }
        Op::Put(value.into())
    }

    /// Damages one value, so that nobody can read it.
    pub(crate) fn spoil(&mut self) {
        let stored = self.snapshot().into_iter().filter(|(key, _)| {
            FAMILIES.iter().any(|family| key.starts_with(family)) && !self.spoilt.contains_key(key)
        });
        let stored: Vec<_> = stored.collect();
        if stored.is_empty() {
            return;
        }
        let (key, value) = stored[self.dice.index(stored.len())].clone();
        note!(self, "{key} is damaged");
        self.strike("stored value damaged");
        self.overwrite([(key.clone(), Some(GARBAGE.to_vec()))]);
        self.spoilt.insert(key, value);
    }

    /// Puts back every value that was damaged.
    pub(crate) fn heal(&mut self) {
        let spoilt = std::mem::take(&mut self.spoilt);
        if !spoilt.is_empty() {
            note!(self, "healed: {:?}", spoilt.keys());
            self.overwrite(spoilt.into_iter().map(|(key, value)| (key, Some(value))));
            self.checker.disturbed_at = self.now;
        }
    }

    /// Keeps a snapshot of the store.
    pub(crate) fn back_up_store(&mut self) {
        let mut snapshot = self.snapshot();
        snapshot.extend(self.spoilt.clone());
        self.store.backup = Some(snapshot);
    }

    /// Brings back the snapshot, as `etcdutl snapshot restore --bump-revision --mark-compacted`
    /// does: everything is as it was then, at revisions that are new, and every watch has to begin
    /// again.
    pub(crate) fn restore_store(&mut self) {
        let Some(backup) = self.store.backup.clone() else { return };
        self.replace_store(backup, "store restored from a snapshot");
    }

    /// Loses all but the registrations, which a deployment's configuration brings back at start-up.
    pub(crate) fn empty_store(&mut self) {
        self.heal();
        // A store without its installation would be another one's to CRMs.
        let is_kept = |key: &str| key.starts_with("clusters/") || key == "installation";
        let kept = self.snapshot().into_iter().filter(|(key, _)| is_kept(key)).collect();
        self.replace_store(kept, "store emptied");
    }

    /// Keeps what the store is now, revisions and all.
    pub(crate) fn keep_past(&mut self) {
        self.store.past = Some(self.past());
    }

    fn past(&self) -> Past {
        let mvcc = &self.store.mvcc;
        let keys = mvcc.list("", None, 10_000, None).map(|page| page.items).unwrap_or_default();
        let is_leased = |key: &str| mvcc.get(key).is_some_and(|item| item.lease.is_some());
        let kept = keys.into_iter().filter(|item| !is_leased(&item.key));
        // Damage is healed before anything is restored.
        let healed = kept.map(|mut item| {
            if let Some(value) = self.spoilt.get(&item.key) {
                item.value = value.clone().into();
            }
            item
        });
        (mvcc.revision(), healed.collect())
    }

    /// Brings back what was kept, at the revisions that it had: what came after has never been.
    /// Answers whether there was something to bring back.
    pub(crate) fn go_back(&mut self) -> bool {
        let Some((revision, items)) = self.store.past.take() else { return false };
        self.heal();
        // Restored with its revision raised in between: it is of a life before that.
        if self.store.is_bumped || self.store.mvcc.revision() <= revision {
            return false;
        }
        note!(self, "store goes back from {} to {revision}", self.store.mvcc.revision());
        self.strike("store went back in its revisions");
        self.become_store(revision, items);
        self.note_past(revision.0);
        self.store.is_back = true;
        if self.dice.chance(0.5) {
            self.recover_terms();
        }
        true
    }

    /// Has terms continue above those that CRMs have seen, as `oprc-pm recover` does.
    fn recover_terms(&mut self) {
        let key = Key::Installation.to_string();
        let stored = self.store.mvcc.get(&key);
        let stored = stored.and_then(|item| serde_json::from_slice(&item.key_value.value).ok());
        let Some::<Installation>(mut installation) = stored else { return };
        let terms = self.crms.values().filter_map(|crm| crm.held.terms.get(OWNER));
        let seen = terms.copied().max().unwrap_or_default();
        installation.raise_terms(seen, self.store.mvcc.revision().0);
        installation.recovered_at = Some(self.wall());
        let Ok(value) = serde_json::to_vec(&installation) else { return };
        note!(self, "terms continue above {seen}");
        self.strike("terms recovered");
        self.overwrite([(key, Some(value))]);
    }

    /// Raises the revision of a store that went back, as `--bump-revision --mark-compacted` does: CRMs
    /// that keep terms take none that is older than those they have seen.
    pub(crate) fn bump_revision(&mut self) {
        if !std::mem::take(&mut self.store.is_back) {
            return;
        }
        let (revision, items) = self.past();
        let bumped = Revision(revision.0 + BUMP);
        note!(self, "store's revision is raised to {bumped}");
        self.become_store(bumped, items);
        self.checker.documents.trust_from(bumped.0);
        self.store.is_bumped = true;
    }

    fn become_store(&mut self, revision: Revision, items: Vec<KeyValue>) {
        let now = self.store.at(self.now);
        let last_lease = self.store.mvcc.grant_lease(1, now);
        self.store.mvcc = Mvcc::restore(Options::default(), revision, items, Vec::new());
        // Another store grants other leases.
        while self.store.mvcc.grant_lease(1, now).0 <= last_lease.0 {}
        self.expect_expiry(1);
        self.store.life += 1;
        self.checker.forget_the_store();
        self.checker.disturbed_at = self.now;
        self.note_pauses_again();
        self.end_watches();
    }

    fn replace_store(&mut self, backup: Snapshot, what: &'static str) {
        self.heal();
        let now = self.snapshot();
        let gone = now.keys().filter(|key| !backup.contains_key(*key));
        let mut values: Vec<_> = gone.map(|key| (key.clone(), None)).collect();
        let changed = backup.into_iter().filter(|(key, value)| now.get(key) != Some(value));
        values.extend(changed.map(|(key, value)| (key, Some(value))));
        if values.is_empty() {
            return;
        }
        note!(self, "{what}: {} keys differ", values.len());
        self.strike(what);
        self.overwrite(values);
        self.checker.forget_the_store();
        self.note_pauses_again();
        self.store.mvcc.compact(Revision(self.store.mvcc.revision().0));
        self.end_watches();
    }
}
