//! What one cluster's CRM holds, as far as we know: its records, and what our calls did to them.
//!
//! Knowledge is ordered by ticks, a counter of its own: a listing says something about a call only
//! if it began after the call ended. No IO, and no clock of its own.
//!
//! Invariants:
//! - a unit is [`Observation::Absent`] only when a complete listing that began after our last call
//!   for it had no record of it, or the CRM itself said that it is gone;
//! - a unit whose record could not be read is [`Observation::Unknown`] until it is read; where not
//!   even the unit of such a record is known, no unit is absent;
//! - after a call that was not answered, nothing but such a listing, or an answered call, says
//!   what became of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use oprc_models::{
    crm::{RecordEvent, RecordEventType},
    names::{DeploymentKey, UnitId},
    record::{DeploymentRecord, Refusal, RunCondition},
};
use oprc_planning::unit::Observation;
use tokio::time::Instant;

use super::listing::{Budget, Held, Listing, ListingError, weight};

/// What became of a call for a unit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The CRM took this generation of the unit.
    Applied(u64, String),
    /// The CRM took the deletion of this generation; the record goes when it is done.
    DeletionBegun(u64),
    /// The CRM holds nothing, and takes no generation below this one any more.
    Gone(u64),
    /// The CRM will not take it; the deployment that it is of.
    Refused(Refusal, DeploymentKey),
    /// Certainly not carried out.
    NotSent,
    /// It may or may not have been carried out.
    Unanswered,
}

/// What the mirror shows of a unit, as far as it matters to what is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The cluster holds this generation.
    Present(u64, RunCondition),
    /// The cluster does not hold it.
    Absent,
    /// Neither is known.
    Unknown,
}

/// What is known of a unit, to be written down.
#[derive(Debug)]
pub(crate) struct Reported {
    /// The last record that could be read.
    pub(crate) record: Option<Arc<DeploymentRecord>>,
    /// Why the current record cannot be read.
    pub(crate) unreadable: Option<String>,
    /// Why the CRM refused the unit of which deployment.
    pub(crate) refusal: Option<(Refusal, DeploymentKey)>,
    /// Whether no `record` means that the CRM has none.
    pub(crate) is_complete: bool,
}

/// What is remembered of our calls for one unit, until its record shows what they asked for.
#[derive(Debug, Default)]
struct Calls {
    /// The tick at which the last one ended.
    ended: u64,
    /// When the CRM last took something; for pacing only.
    taken_at: Option<Instant>,
    /// The newest generation that the CRM took, and its hash.
    applied: Option<(u64, String)>,
    /// The newest generation whose deletion the CRM took.
    deleted: Option<u64>,
    /// The newest generation that the CRM ever took to hold.
    newest: u64,
    /// Whether the CRM said of the last one that it holds nothing.
    is_gone: bool,
    /// Whether the last one was not answered.
    is_unanswered: bool,
    /// What the CRM refused.
    refusal: Option<(Refusal, DeploymentKey)>,
}

/// The mirror of one CRM.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    tick: u64,
    records: BTreeMap<UnitId, Arc<DeploymentRecord>>,
    calls: BTreeMap<UnitId, Calls>,
    /// What the records take.
    held: Held,
    /// Units whose record could not be read at the last complete listing, and why. `records` has the
    /// last one that could be.
    unreadable: BTreeMap<UnitId, String>,
    /// Why a record could not be read whose unit is not known.
    nameless: Option<String>,
    /// The tick at which the last complete listing began.
    listed: Option<u64>,
    /// As `listed`, but [`Mirror::distrust`] does not forget it.
    settled: u64,
    /// Records of ours without a unit at the last complete listing: to be looked at a second time.
    suspects: BTreeSet<UnitId>,
}

impl Mirror {
    /// Begins a listing; its tick goes to [`Mirror::replace`] with what it found.
    pub(crate) fn begin_listing(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    /// Takes a complete listing that began at `began`; returns the units whose record changed.
    pub(crate) fn replace(&mut self, began: u64, listing: Listing) -> BTreeSet<UnitId> {
        let Listing { records: listed, mut unreadable, nameless, .. } = listing;
        let mut changed = BTreeSet::new();
        let mut records = BTreeMap::new();
        let mut held = Held::default();
        for (id, record) in listed {
            let record = self.received(record, began);
            held.add(weight(&record));
            match self.records.remove(&id) {
                Some(before) if *before == record => {
                    records.insert(id, before);
                }
                _ => {
                    changed.insert(id.clone());
                    records.insert(id, Arc::new(record));
                }
            }
        }
        for (id, before) in std::mem::take(&mut self.records) {
            // What is not listed may be what cannot be read.
            if let Some(reason) = &nameless {
                unreadable.entry(id.clone()).or_insert_with(|| reason.clone());
            }
            if unreadable.contains_key(&id) {
                held.add(weight(&before));
                records.insert(id, before);
            } else {
                changed.insert(id);
            }
        }
        let before = std::mem::replace(&mut self.unreadable, unreadable);
        let differs = |id: &&UnitId| before.get(*id) != self.unreadable.get(*id);
        changed.extend(before.keys().chain(self.unreadable.keys()).filter(differs).cloned());
        (self.records, self.held, self.nameless) = (records, held, nameless);
        self.settled = began;
        self.listed = Some(began);
        // What was asked before the listing began is settled by it; a refusal stands until the
        // CRM takes something, and a deletion until its unit is forgotten.
        self.calls.retain(|_, calls| {
            if calls.ended < began {
                (calls.applied, calls.is_unanswered) = (None, false);
            }
            calls.ended > began || calls.refusal.is_some() || calls.deleted.is_some()
        });
        changed
    }

    /// Forgets that a listing was complete: nothing is absent until the next one.
    pub(crate) fn distrust(&mut self) {
        self.listed = None;
    }

    /// Forgets everything that the CRM reported: it is not believed.
    pub(crate) fn disbelieve(&mut self) {
        self.distrust();
        self.records.clear();
        self.suspects.clear();
        self.unreadable.clear();
        (self.held, self.nameless) = (Held::default(), None);
    }

    /// Fails where the records take more than `budget` allows.
    pub(crate) fn check(&self, budget: Budget) -> Result<(), ListingError> {
        self.held.check(budget)
    }

    /// The first unreadable record and the number of units that are unknown for such a reason.
    pub(crate) fn unreadable(&self) -> Option<(String, usize)> {
        let first = self.unreadable.iter().next().map(|(id, reason)| format!("{id}: {reason}"));
        Some((first.or_else(|| self.nameless.clone())?, self.unreadable.len().max(1)))
    }

    /// Whether a complete listing was taken.
    pub(crate) fn is_listed(&self) -> bool {
        self.listed.is_some()
    }

    /// Takes an event of a watch that continues a complete listing; answers the unit it is about.
    ///
    /// A listing is as of its first page, so what its later pages show is told again, from the
    /// beginning: an event about an older generation than the one that is held is passed over.
    pub(crate) fn take(&mut self, event: RecordEvent) -> Option<UnitId> {
        self.tick += 1;
        let record = self.received(event.record?, self.tick);
        let id = record.id.clone();
        if self.records.get(&id).is_some_and(|held| held.generation > record.generation) {
            return None;
        }
        self.unreadable.remove(&id);
        match event.r#type {
            RecordEventType::Added | RecordEventType::Modified => {
                let shows_it = |calls: &Calls| {
                    calls.refusal.is_none()
                        && !calls.is_unanswered
                        && calls.applied.as_ref().is_some_and(|(g, _)| *g <= record.generation)
                };
                if self.calls.get(&id).is_some_and(shows_it) {
                    self.calls.remove(&id);
                }
                self.held.add(weight(&record));
                let before = self.records.insert(id.clone(), Arc::new(record));
                self.held_no_more(before.as_deref());
            }
            RecordEventType::Deleted => {
                let before = self.records.remove(&id);
                self.held_no_more(before.as_deref());
                // Of what was there before the CRM last took it, this says nothing.
                if let Some(calls) = self.calls.get_mut(&id)
                    && calls.deleted.is_some()
                    && calls.newest <= record.generation
                    && !calls.is_unanswered
                {
                    calls.is_gone = true;
                }
            }
            RecordEventType::Bookmark => return None,
        }
        Some(id)
    }

    fn held_no_more(&mut self, record: Option<&DeploymentRecord>) {
        if let Some(record) = record {
            self.held.remove(weight(record));
        }
    }

    /// Notes what became of a call for `id`.
    pub(crate) fn note(&mut self, id: &UnitId, verdict: Verdict, now: Instant) {
        if verdict == Verdict::NotSent {
            return;
        }
        self.tick += 1;
        let calls = self.calls.entry(id.clone()).or_default();
        if let Verdict::Refused(refusal, of) = verdict {
            // It changed nothing, so what was known stands; and so does what was not.
            calls.refusal = Some((refusal, of));
            return;
        }
        calls.ended = self.tick;
        calls.is_unanswered = false;
        if matches!(verdict, Verdict::Applied(..) | Verdict::DeletionBegun(_) | Verdict::Gone(_)) {
            calls.taken_at = Some(now);
        }
        match verdict {
            Verdict::Applied(generation, hash) => {
                calls.newest = calls.newest.max(generation);
                (calls.applied, calls.deleted) = (Some((generation, hash)), None);
                (calls.is_gone, calls.refusal) = (false, None);
            }
            Verdict::DeletionBegun(generation) => {
                (calls.applied, calls.deleted) = (None, Some(generation));
                (calls.is_gone, calls.refusal) = (false, None);
            }
            Verdict::Gone(generation) => {
                (calls.applied, calls.deleted) = (None, Some(generation));
                (calls.is_gone, calls.refusal) = (true, None);
                self.unreadable.remove(id);
                let before = self.records.remove(id);
                self.held_no_more(before.as_deref());
            }
            Verdict::Refused(..) | Verdict::NotSent => (),
            Verdict::Unanswered => (calls.is_gone, calls.is_unanswered) = (false, true),
        }
    }

    /// What is known of `id`.
    pub(crate) fn observe(&self, id: &UnitId) -> Observation<'_> {
        let Some(listed) = self.listed else { return Observation::Unknown };
        let calls = self.calls.get(id);
        if calls.is_some_and(|calls| calls.is_unanswered) || self.unreadable.contains_key(id) {
            return Observation::Unknown;
        }
        if let Some(record) = self.records.get(id) {
            return Observation::Present(record);
        }
        let is_gone = calls.is_some_and(|calls| calls.is_gone);
        let is_later = calls.is_some_and(|calls| calls.ended > listed);
        if !is_gone && (is_later || self.nameless.is_some()) {
            return Observation::Unknown;
        }
        Observation::Absent
    }

    /// What is shown of `id`, whether or not the mirror is trusted now.
    ///
    /// Two that differ have something new in between; a failed key is tried early for that alone.
    pub(crate) fn shown(&self, id: &UnitId) -> Shown {
        let calls = self.calls.get(id);
        let is_gone = calls.is_some_and(|calls| calls.is_gone);
        let is_later = calls.is_some_and(|calls| calls.ended > self.settled);
        if calls.is_some_and(|calls| calls.is_unanswered) || self.unreadable.contains_key(id) {
            return Shown::Unknown;
        }
        match self.records.get(id) {
            Some(record) => Shown::Present(record.generation, record.status.condition),
            None if !is_gone && (is_later || self.nameless.is_some()) => Shown::Unknown,
            None => Shown::Absent,
        }
    }

    /// Whether `refusal` says what the last refusal of `id` said.
    pub(crate) fn is_known(&self, id: &UnitId, refusal: &Refusal) -> bool {
        let before = self.calls.get(id).and_then(|calls| calls.refusal.as_ref());
        before.is_some_and(|(before, _)| Refusal { at: before.at, ..refusal.clone() } == *before)
    }

    /// Whether the CRM refused this generation of `id`.
    pub(crate) fn is_refused(&self, id: &UnitId, generation: u64) -> bool {
        let before = self.calls.get(id).and_then(|calls| calls.refusal.as_ref());
        before.is_some_and(|(refusal, _)| refusal.generation == generation)
    }

    /// When the CRM took `generation` of `id`, if no listing since then could show it: the same
    /// call again would tell it nothing.
    pub(crate) fn applied_at(&self, id: &UnitId, generation: u64) -> Option<Instant> {
        let calls = self.calls.get(id)?;
        let is_unlisted = self.listed.is_none_or(|listed| calls.ended > listed);
        let (applied, _) = calls.applied.as_ref()?;
        let is_open = is_unlisted && !calls.is_unanswered && *applied >= generation;
        calls.taken_at.filter(|_| is_open)
    }

    /// When the CRM last took the deletion of `generation` of `id`.
    pub(crate) fn deletion_begun_at(&self, id: &UnitId, generation: u64) -> Option<Instant> {
        let calls = self.calls.get(id)?;
        let is_begun = calls.deleted.is_some_and(|deleted| deleted >= generation);
        calls.taken_at.filter(|_| is_begun && !calls.is_unanswered)
    }

    /// Whether the CRM answered a deletion of `generation`, so that it takes no call of an older
    /// one that may still be under way.
    pub(crate) fn has_fenced(&self, id: &UnitId, generation: u64) -> bool {
        let deleted = |calls: &Calls| calls.deleted.is_some_and(|deleted| deleted >= generation);
        self.calls.get(id).is_some_and(deleted)
    }

    /// What is known of `id`.
    pub(crate) fn report(&self, id: &UnitId) -> Reported {
        let unreadable = self.unreadable.get(id).cloned();
        Reported {
            record: self.records.get(id).cloned(),
            refusal: self.calls.get(id).and_then(|calls| calls.refusal.clone()),
            is_complete: self.is_listed() && unreadable.is_none() && self.nameless.is_none(),
            unreadable,
        }
    }

    /// Forgets the calls that the listing that began at `began` has settled, for ids that are
    /// neither listed nor the id of a unit: nobody will ask for them, or forget them, any more.
    pub(crate) fn forget_settled(&mut self, began: u64, has_unit: impl Fn(&UnitId) -> bool) {
        let records = &self.records;
        self.calls
            .retain(|id, calls| calls.ended > began || records.contains_key(id) || has_unit(id));
    }

    /// Forgets our calls for `id`: its unit is no more.
    pub(crate) fn forget(&mut self, id: &UnitId) {
        self.calls.remove(id);
    }

    /// Whether there is a record of `id`.
    pub(crate) fn holds(&self, id: &UnitId) -> bool {
        self.records.contains_key(id)
    }

    /// All records.
    pub(crate) fn records(&self) -> impl Iterator<Item = (&UnitId, &Arc<DeploymentRecord>)> {
        self.records.iter()
    }

    /// Whether something is under way that a poll would show.
    pub(crate) fn is_moving(&self) -> bool {
        let is_moving = |record: &Arc<DeploymentRecord>| {
            matches!(
                record.status.condition,
                RunCondition::Pending | RunCondition::Deploying | RunCondition::Deleted
            )
        };
        self.calls.values().any(|calls| calls.refusal.is_none())
            || self.records.values().any(is_moving)
    }

    /// Notes which records have no unit after a complete listing; answers those that had none at
    /// the listing before either: the orphans.
    pub(crate) fn suspect(&mut self, without_unit: BTreeSet<UnitId>) -> Vec<UnitId> {
        let orphans = without_unit.intersection(&self.suspects).cloned().collect();
        self.suspects = without_unit;
        orphans
    }

    /// Whether some record is waiting for its second look.
    pub(crate) fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// Holds `stored` in place of an equal record, so that it is in memory once.
    pub(crate) fn share(&mut self, id: &UnitId, stored: &Arc<DeploymentRecord>) {
        if let Some(held) = self.records.get_mut(id).filter(|held| *held == stored) {
            *held = Arc::clone(stored);
        }
    }

    /// A record as it is held. Without measurements: they are for metrics systems, and would make a
    /// change of every look. A CRM that keeps no generations reports none: what we know it took
    /// before tick `seen` stands in for it.
    fn received(&self, mut record: DeploymentRecord, seen: u64) -> DeploymentRecord {
        record.nfr_compliance = None;
        for instance in record.runtime.iter_mut().flatten() {
            instance.metrics = None;
        }
        if record.generation > 0 {
            return record;
        }
        let calls = self.calls.get(&record.id).filter(|calls| calls.ended < seen);
        if let Some((generation, hash)) = calls.and_then(|calls| calls.applied.as_ref()) {
            record.generation = *generation;
            record.spec_hash.clone_from(hash);
        } else if let Some(before) = self.records.get(&record.id) {
            record.generation = before.generation;
            record.spec_hash.clone_from(&before.spec_hash);
        }
        record
    }
}

#[cfg(test)]
mod tests;
