//! Every way that a unit can be on its cluster, and what is said of it.

use oprc_models::{
    cluster::{ClusterStatus, Connectivity},
    record::{DeploymentRecord, Refusal, RunCondition},
    unit::Desired,
};

use super::{badness, part, worse};
use crate::samples::{
    CONDITIONS, cluster, cluster_status, record, refusal, stored_record, stored_unit, unit,
};

const WANTED: u64 = 5;

/// The one place that calls `part`.
fn judged(
    desired: Desired,
    held: Option<DeploymentRecord>,
    refusal: Option<Refusal>,
    status: Option<&ClusterStatus>,
) -> (RunCondition, String) {
    let stored = stored_unit("east", WANTED, desired);
    let has_record = held.is_some() || refusal.is_some();
    let generation = held.as_ref().map(|held| held.generation);
    let record = stored_record(&stored.unit, held, refusal);
    let part = part(&cluster("east"), &stored, has_record.then_some(&record), status);
    assert_eq!(part.observed_generation, generation);
    assert_eq!((part.generation, part.desired), (WANTED, desired));
    (part.condition, part.reason)
}

fn connected() -> ClusterStatus {
    cluster_status(Connectivity::Connected)
}

/// RUNNING is said only of the generation that runs, on a cluster that we hear from: the newest, or
/// an older one whose update the cluster refuses.
#[test]
fn running_is_never_said_of_what_is_not_known() {
    let statuses = [
        None,
        Some(cluster_status(Connectivity::Unknown)),
        Some(cluster_status(Connectivity::Unreachable)),
        Some(cluster_status(Connectivity::Unauthorized)),
        Some(cluster_status(Connectivity::Misidentified)),
        Some(connected()),
    ];
    let (mut n_newest, mut n_older) = (0, 0);
    for status in &statuses {
        for desired in [Desired::Present, Desired::Absent] {
            for held in [None, Some(WANTED - 1), Some(WANTED), Some(WANTED + 1)] {
                for condition in CONDITIONS {
                    for hash in ["", "another", &unit("east", WANTED).spec_hash] {
                        for refused in [None, Some(WANTED - 1), Some(WANTED)] {
                            let record = held.map(|generation| DeploymentRecord {
                                generation,
                                spec_hash: hash.to_owned(),
                                ..record(&unit("east", generation), condition)
                            });
                            let refused_now = refused.map(|generation| refusal(generation, None));
                            let (said, reason) =
                                judged(desired, record, refused_now, status.as_ref());
                            let runs = status.as_ref().is_some_and(ClusterStatus::is_connected)
                                && desired == Desired::Present
                                && held.is_some()
                                && condition == RunCondition::Running;
                            let is_newest = held == Some(WANTED) && hash != "another";
                            let is_refused = refused == Some(WANTED) && !is_newest;
                            let may_run = runs && (is_newest || is_refused);
                            assert_eq!(said == RunCondition::Running, may_run, "{said:?} {reason}");
                            if may_run {
                                let want = if is_newest { "Running" } else { "Refused" };
                                assert_eq!(reason, want);
                            }
                            n_newest += usize::from(runs && is_newest);
                            n_older += usize::from(runs && is_refused);
                        }
                    }
                }
            }
        }
    }
    assert_eq!(n_newest, 6, "without and with a hash, whatever was refused before it was taken");
    assert_eq!(n_older, 7, "two other generations of three hashes, and another of the same");
}

#[test]
fn says_why() {
    let now = |condition| Some(record(&unit("east", WANTED), condition));
    let was = |condition| Some(record(&unit("east", WANTED - 1), condition));
    let old = || was(RunCondition::Running);
    let refused = || Some(refusal(WANTED, None));
    let past = || Some(refusal(WANTED - 1, None));
    let away = cluster_status(Connectivity::Unreachable);
    let on = connected();
    let (present, absent) = (Desired::Present, Desired::Absent);
    let table = [
        (judged(present, None, None, None), RunCondition::Unknown, "ClusterNotConnected"),
        (judged(absent, None, None, Some(&away)), RunCondition::Unknown, "ClusterNotConnected"),
        (judged(present, None, None, Some(&on)), RunCondition::Pending, "NotCreatedYet"),
        (judged(present, old(), None, Some(&on)), RunCondition::Deploying, "Updating"),
        (judged(present, None, refused(), Some(&on)), RunCondition::Down, "Refused"),
        (judged(present, old(), refused(), Some(&on)), RunCondition::Running, "Refused"),
        (
            judged(present, was(RunCondition::Down), refused(), Some(&on)),
            RunCondition::Down,
            "Down",
        ),
        (
            judged(present, was(RunCondition::Deploying), refused(), Some(&on)),
            RunCondition::Deploying,
            "Refused",
        ),
        (
            judged(present, old(), refused(), Some(&away)),
            RunCondition::Unknown,
            "ClusterNotConnected",
        ),
        (judged(present, None, past(), Some(&on)), RunCondition::Pending, "NotCreatedYet"),
        (judged(absent, old(), None, Some(&on)), RunCondition::Deleted, "Deleting"),
        (judged(absent, old(), refused(), Some(&on)), RunCondition::Deleted, "Refused"),
        (
            judged(present, now(RunCondition::Pending), None, Some(&on)),
            RunCondition::Pending,
            "Pending",
        ),
        (judged(present, now(RunCondition::Down), None, Some(&on)), RunCondition::Down, "Down"),
        (
            judged(present, now(RunCondition::Deleted), None, Some(&on)),
            RunCondition::Deleted,
            "Deleting",
        ),
    ];
    for (i, ((condition, reason), want, why)) in table.into_iter().enumerate() {
        assert_eq!((condition, reason.as_str()), (want, why), "row {i}");
    }
}

#[test]
fn the_worst_speaks() {
    for a in CONDITIONS {
        for b in CONDITIONS {
            assert_eq!(badness(worse(a, b)), badness(a).max(badness(b)));
        }
    }
    assert_eq!(worse(RunCondition::Running, RunCondition::Unknown), RunCondition::Unknown);
}
