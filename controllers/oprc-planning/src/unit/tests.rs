//! Every case of one unit on one cluster.

use oprc_models::{record::RunCondition, unit::Desired};

use super::{
    Action::{self, Apply, Delete, Forget, Nothing, Observe},
    Observation, Reason, plan,
};
use crate::samples::{CONDITIONS, record, stored_unit, unit};

/// What is observed: the held generation and how it is.
type Held = Option<(u64, RunCondition)>;

/// The generation that is desired.
const WANTED: u64 = 5;

/// The one place that calls `plan`.
#[track_caller]
fn check(desired: Desired, observed: Option<Held>, want: Action) {
    let held = observed
        .flatten()
        .map(|(generation, condition)| record(&unit("east", generation), condition));
    let observation = match (observed, &held) {
        (None, _) => Observation::Unknown,
        (Some(_), None) => Observation::Absent,
        (Some(_), Some(record)) => Observation::Present(record),
    };
    let got = plan(&stored_unit("east", WANTED, desired), observation);
    assert_eq!(got, want, "{desired:?} {observed:?}");
}

/// Nothing is planned on what is not known, and absence has two cases.
#[test]
fn plans_without_a_record() {
    check(Desired::Present, None, Observe);
    check(Desired::Absent, None, Observe);
    check(Desired::Present, Some(None), Apply(Reason::Missing));
    check(Desired::Absent, Some(None), Forget);
}

/// Every generation relation and condition: there is no other case.
#[test]
fn plans_with_a_record() {
    for condition in CONDITIONS {
        for held in [0, WANTED - 1, WANTED, WANTED + 1, u64::MAX] {
            let observed = Some(Some((held, condition)));
            let present = if held < WANTED { Apply(Reason::Outdated) } else { Nothing };
            check(Desired::Present, observed, present);
            // Never less than what is held: a CRM would refuse that as stale.
            let absent = Delete(held.max(WANTED), Reason::Unwanted);
            check(Desired::Absent, observed, absent);
        }
    }
}
