//! What is done to the store behind everybody's back: values are damaged and healed, and an older
//! snapshot is brought back.

use std::collections::BTreeMap;

use oprc_cp_storage::{Op, Precondition, Revision, Txn, Write, keys::Key};

use super::world::{World, note};

/// The keys and values of a store, without the election's.
pub(crate) type Snapshot = BTreeMap<String, Vec<u8>>;

/// What is not a document of any kind.
const GARBAGE: &[u8] = b"{\"half a docum";

/// The families whose values are damaged: a registration is not, since its agent then goes on.
const FAMILIES: [&str; 5] = ["packages/", "deployments/", "units/", "records/", "status/"];

impl World {
    fn snapshot(&self) -> Snapshot {
        let Ok(page) = self.store.mvcc.list("", None, 10_000, None) else { return Snapshot::new() };
        let is_kept = |key: &str| !matches!(key.parse::<Key>(), Ok(Key::Leader(_)));
        let items = page.items.into_iter().filter(|item| is_kept(&item.key));
        items.map(|item| (item.key, item.value.to_vec())).collect()
    }

    /// Writes what an operator's hand, or a disk, writes: it asks for no permission.
    fn overwrite(&mut self, values: impl IntoIterator<Item = (String, Option<Vec<u8>>)>) {
        let writes = values.into_iter().map(|(key, value)| {
            let at = self.store.mvcc.get(&key).map(|item| item.key_value.mod_revision);
            let precondition = at.map_or(Precondition::Absent, Precondition::At);
            let op = value.map_or(Op::Delete, |value| Op::Put(value.into()));
            Write { key, precondition, op }
        });
        let txn = Txn { checks: Vec::new(), writes: writes.collect() };
        self.is_overwriting = true;
        let done = self.commit(None, |mvcc, pending, now| pending.txn(mvcc, txn, now));
        self.is_overwriting = false;
        if let Err(error) = done {
            note!(self, "store was not overwritten: {error}");
        }
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
        let is_kept = |key: &str| key.starts_with("clusters/");
        let kept = self.snapshot().into_iter().filter(|(key, _)| is_kept(key)).collect();
        self.replace_store(kept, "store emptied");
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
        self.store.mvcc.compact(Revision(self.store.mvcc.revision().0));
        self.end_watches();
    }
}
