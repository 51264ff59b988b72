//! One unit on one cluster: what to ask of its CRM.

use oprc_models::{
    record::DeploymentRecord,
    unit::{Desired, StoredUnit},
};

/// What is known of a unit on its cluster. There is no fourth case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Observation<'a> {
    /// The cluster holds it: this is its record.
    Present(&'a DeploymentRecord),
    /// The cluster does not hold it: a complete listing that began after our last call there had
    /// no record of it, or the CRM answered a delete with "gone".
    Absent,
    /// Neither is known.
    Unknown,
}

/// Why something is asked of a CRM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The cluster does not hold the unit.
    Missing,
    /// The cluster holds an older generation.
    Outdated,
    /// The cluster is not to hold it any more.
    Unwanted,
}

impl Reason {
    /// Returns the reason in one word, for the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Outdated => "outdated",
            Self::Unwanted => "unwanted",
        }
    }
}

/// What to do about one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: the cluster holds what it should, or the planner has to speak first.
    Nothing,
    /// Ask the CRM to create it or bring it up to date.
    Apply(Reason),
    /// Ask the CRM to delete it, up to this generation; now and then, until the record goes.
    Delete(u64, Reason),
    /// It is gone, as it should be: remove it from the store.
    Forget,
    /// Look first: a complete listing is needed.
    Observe,
}

/// What takes the cluster from `observed` to `unit`.
#[must_use]
pub fn plan(unit: &StoredUnit, observed: Observation<'_>) -> Action {
    let generation = unit.unit.generation;
    match (unit.desired, observed) {
        (_, Observation::Unknown) => Action::Observe,
        (Desired::Present, Observation::Absent) => Action::Apply(Reason::Missing),
        (Desired::Present, Observation::Present(record)) if record.generation < generation => {
            Action::Apply(Reason::Outdated)
        }
        // The same generation is in place. A newer one is there when our store was restored from a
        // backup; the planner answers that with a generation above it.
        (Desired::Present, Observation::Present(_)) => Action::Nothing,
        (Desired::Absent, Observation::Absent) => Action::Forget,
        // Where the cluster is ahead, a deletion of less would be refused as stale.
        (Desired::Absent, Observation::Present(record)) => {
            Action::Delete(generation.max(record.generation), Reason::Unwanted)
        }
    }
}

#[cfg(test)]
mod tests;
