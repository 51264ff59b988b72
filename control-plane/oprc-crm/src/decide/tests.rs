use oprc_models::{
    meta::Timestamp,
    record::{DeploymentRecord, RunCondition},
};

use super::*;
use crate::{crm::tests::unit, record};

/// A record of `generation` with the hash `a`.
fn held(generation: u64, condition: RunCondition) -> DeploymentRecord {
    let mut unit = unit("a", generation);
    unit.spec_hash = "a".to_owned();
    let now = Timestamp::UNIX_EPOCH;
    let mut record = record::accepted(&unit, &unit.target_env.clone(), now, now);
    record.status.condition = condition;
    record
}

#[test]
fn a_unit_is_taken_or_refused() {
    use Apply::{Advance, Conflict, Create, Replace, Stale, Unchanged};
    #[track_caller]
    fn check(
        held_as: Option<(u64, RunCondition)>,
        deleted: Option<u64>,
        asked: (u64, &str),
        want: Apply,
    ) {
        let record = held_as.map(|(generation, condition)| held(generation, condition));
        assert_eq!(apply(record.as_ref(), deleted, asked.0, asked.1), want);
    }
    let running = Some((5, RunCondition::Running));
    check(None, None, (1, "a"), Create);
    check(None, Some(4), (5, "a"), Create);
    check(None, Some(5), (5, "a"), Stale(5));
    check(None, Some(5), (4, "a"), Stale(5));
    check(running, None, (4, "a"), Stale(5));
    check(running, None, (5, "a"), Unchanged);
    check(running, None, (5, "b"), Conflict(5));
    check(running, None, (6, "a"), Advance);
    check(running, None, (6, "b"), Replace);
    check(Some((5, RunCondition::Pending)), None, (6, "a"), Advance);
    check(Some((5, RunCondition::Down)), None, (5, "a"), Unchanged);
    check(Some((5, RunCondition::Down)), None, (6, "a"), Replace);
    let deleting = Some((5, RunCondition::Deleted));
    check(deleting, Some(5), (5, "a"), Stale(5));
    check(deleting, Some(7), (6, "a"), Stale(7));
    check(deleting, Some(7), (8, "a"), Replace);
    check(deleting, None, (5, "a"), Stale(5));
}

#[test]
fn a_deletion_begins_or_is_refused() {
    use Delete::{Begin, Gone, Raise, Remember, Stale, Underway};
    #[track_caller]
    fn check(
        held_as: Option<(u64, RunCondition)>,
        deleted: Option<u64>,
        asked: Option<u64>,
        want: Delete,
    ) {
        let record = held_as.map(|(generation, condition)| held(generation, condition));
        assert_eq!(delete(record.as_ref(), deleted, asked), want);
    }
    let running = Some((5, RunCondition::Running));
    check(None, None, None, Gone);
    check(None, None, Some(3), Remember(3));
    check(None, Some(2), Some(3), Remember(3));
    check(None, Some(3), Some(3), Gone);
    check(None, Some(4), Some(3), Gone);
    check(running, None, Some(4), Stale(5));
    check(running, None, Some(5), Begin(5));
    check(running, None, Some(9), Begin(9));
    check(running, None, None, Begin(5));
    let deleting = Some((5, RunCondition::Deleted));
    check(deleting, Some(5), Some(5), Underway);
    check(deleting, Some(5), Some(4), Stale(5));
    check(deleting, Some(5), Some(6), Raise(6));
    check(deleting, Some(6), None, Underway);
}
