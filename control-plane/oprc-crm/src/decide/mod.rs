//! What a call changes, as pure functions of what is held and what is asked.
//!
//! Invariant: nothing goes back. For an id, the generations taken and deleted only ever grow: a
//! generation is taken once, and never after its deletion was asked for.

use oprc_models::record::{DeploymentRecord, RunCondition};

#[cfg(test)]
mod tests;

/// What to do about a `POST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Apply {
    /// Nothing is held: take the unit.
    Create,
    /// Something older is held: replace it and bring the unit about anew.
    Replace,
    /// The same is held in an older generation: only the generation moves on.
    Advance,
    /// It is held already.
    Unchanged,
    /// Refuse: this generation or a newer one was taken or deleted.
    Stale(u64),
    /// Refuse: this generation was taken with another hash.
    Conflict(u64),
}

/// Decides about a unit of `generation` and `spec_hash`.
///
/// `deleted` is the highest generation whose deletion was asked for.
pub(crate) fn apply(
    record: Option<&DeploymentRecord>,
    deleted: Option<u64>,
    generation: u64,
    spec_hash: &str,
) -> Apply {
    let held = record.map(|record| record.generation);
    if let Some(deleted) = deleted.filter(|deleted| *deleted >= generation) {
        return Apply::Stale(deleted.max(held.unwrap_or(0)));
    }
    let Some(record) = record else { return Apply::Create };
    let is_same = record.spec_hash == spec_hash;
    // What is being removed or has failed is begun anew, whatever its hash.
    let is_well = !matches!(record.status.condition, RunCondition::Deleted | RunCondition::Down);
    if generation < record.generation {
        Apply::Stale(record.generation)
    } else if generation > record.generation {
        if is_same && is_well { Apply::Advance } else { Apply::Replace }
    } else if record.status.condition == RunCondition::Deleted {
        // Its tombstone was pruned in the meantime; the deletion stands.
        Apply::Stale(record.generation)
    } else if is_same {
        Apply::Unchanged
    } else {
        Apply::Conflict(record.generation)
    }
}

/// What to do about a `DELETE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delete {
    /// Something is held: begin to remove it, and remember the generation.
    Begin(u64),
    /// It is being removed: remember the newer generation.
    Raise(u64),
    /// It is being removed, and the generation is remembered.
    Underway,
    /// Nothing is held: remember the generation, so that a late `POST` of it is refused.
    Remember(u64),
    /// Nothing is held and there is nothing to remember.
    Gone,
    /// Refuse: something newer is held.
    Stale(u64),
}

/// Decides about the deletion of everything up to `generation` (of what is held, when `None`).
pub(crate) fn delete(
    record: Option<&DeploymentRecord>,
    deleted: Option<u64>,
    generation: Option<u64>,
) -> Delete {
    let is_remembered = |generation| deleted.is_some_and(|deleted| deleted >= generation);
    let Some(record) = record else {
        return match generation {
            Some(generation) if !is_remembered(generation) => Delete::Remember(generation),
            Some(_) | None => Delete::Gone,
        };
    };
    let generation = generation.unwrap_or(record.generation);
    if generation < record.generation {
        Delete::Stale(record.generation)
    } else if record.status.condition != RunCondition::Deleted {
        Delete::Begin(generation)
    } else if is_remembered(generation) {
        Delete::Underway
    } else {
        Delete::Raise(generation)
    }
}
