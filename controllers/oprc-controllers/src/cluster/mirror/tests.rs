//! What the mirror concludes, rule by rule; `model` asks it about random histories.

mod model;

use oprc_models::{
    crm::{RecordEvent, RecordEventType},
    meta::Timestamp,
    names::UnitId,
    record::{DeploymentRecord, Refusal, RunCondition},
};
use oprc_planning::unit::Observation;
use serde_json::json;
use tokio::time::Instant;

use super::{Budget, Held, Listing, Mirror, Verdict, weight};

pub(super) fn id() -> UnitId {
    "cart-1".parse().unwrap()
}

/// A record of the unit at `generation`.
pub(super) fn record(generation: u64) -> DeploymentRecord {
    let time = Timestamp::UNIX_EPOCH;
    serde_json::from_value(json!({
        "id": id(), "deployment_key": "shop.cart", "package_name": "shop", "class_key": "cart",
        "target_environment": "east", "cluster_name": "east", "owner": "oprc-pm",
        "generation": generation, "spec_hash": if generation == 0 { "" } else { "hash" },
        "status": {"condition": "RUNNING", "last_updated": time},
        "created_at": time, "updated_at": time,
    }))
    .unwrap()
}

pub(super) fn event(r#type: RecordEventType, generation: u64) -> RecordEvent {
    RecordEvent { r#type, revision: 0, record: Some(record(generation)) }
}

pub(super) fn applied(generation: u64) -> Verdict {
    Verdict::Applied(generation, "hash".to_owned())
}

fn refused() -> Verdict {
    let refusal = Refusal {
        generation: 1,
        package_name: None,
        status: 400,
        code: None,
        message: "no".to_owned(),
        current_generation: None,
        at: Timestamp::UNIX_EPOCH,
    };
    Verdict::Refused(refusal, "shop.cart".parse().unwrap())
}

/// Something that happens to a mirror.
#[derive(Clone, Debug)]
enum Step {
    /// A complete listing, begun and taken at once, with or without a record.
    List(Option<u64>),
    /// A listing begins.
    Begin,
    /// The listing that last began is taken.
    Take(Option<u64>),
    Note(Verdict),
    Added(u64),
    Deleted(u64),
    Distrust,
}

use Step::{Added, Begin, Deleted, Distrust, List, Note, Take};

fn after(steps: &[Step]) -> Mirror {
    let mut mirror = Mirror::default();
    let mut began = 0;
    for step in steps {
        match step.clone() {
            List(held) => {
                began = mirror.begin_listing();
                mirror.replace(began, held.map(record).into_iter().collect());
            }
            Begin => began = mirror.begin_listing(),
            Take(held) => {
                mirror.replace(began, held.map(record).into_iter().collect());
            }
            Note(verdict) => mirror.note(&id(), verdict, Instant::now()),
            Added(generation) => {
                mirror.take(event(RecordEventType::Added, generation));
            }
            Deleted(generation) => {
                mirror.take(event(RecordEventType::Deleted, generation));
            }
            Distrust => mirror.distrust(),
        }
    }
    mirror
}

const UNKNOWN: Option<Option<u64>> = None;
const ABSENT: Option<Option<u64>> = Some(None);

fn present(generation: u64) -> Option<Option<u64>> {
    Some(Some(generation))
}

/// `None`: unknown; otherwise the generation that is held, if one is.
#[track_caller]
fn check(steps: &[Step], want: Option<Option<u64>>) {
    let mirror = after(steps);
    let got = match mirror.observe(&id()) {
        Observation::Unknown => None,
        Observation::Absent => Some(None),
        Observation::Present(record) => Some(Some(record.generation)),
    };
    assert_eq!(got, want, "after {steps:?}");
}

#[test]
fn concludes_nothing_before_a_complete_listing() {
    check(&[], UNKNOWN);
    check(&[Added(1)], UNKNOWN);
    check(&[Begin], UNKNOWN);
    check(&[Begin, Take(None)], ABSENT);
    check(&[List(Some(1))], present(1));
    // C13: a listing that broke off is not taken, and the one before stands.
    check(&[List(Some(1)), Begin], present(1));
    check(&[List(Some(1)), Distrust], UNKNOWN);
    check(&[List(Some(1)), Distrust, Begin], UNKNOWN);
    check(&[List(Some(1)), Distrust, List(None)], ABSENT);
}

/// A listing tells of a call only if it began after the call ended.
#[test]
fn listing_and_calls_are_ordered() {
    check(&[List(None), Note(applied(1))], UNKNOWN);
    check(&[List(None), Begin, Note(applied(1)), Take(None)], UNKNOWN);
    check(&[List(None), Note(applied(1)), Begin, Take(None)], ABSENT);
    check(&[List(None), Note(applied(1)), List(Some(1))], present(1));
    check(&[List(None), Note(applied(1)), Added(1)], present(1));
    check(&[List(Some(1)), Note(applied(2))], present(1));
    check(&[List(Some(1)), Note(applied(2)), Added(2)], present(2));
}

#[test]
fn after_an_unanswered_call_only_a_listing_or_an_answer_tells() {
    let unanswered = Note(Verdict::Unanswered);
    check(&[List(None), unanswered.clone()], UNKNOWN);
    check(&[List(Some(1)), unanswered.clone()], UNKNOWN);
    check(&[List(None), unanswered.clone(), Added(1)], UNKNOWN);
    check(&[List(Some(1)), unanswered.clone(), Deleted(1)], UNKNOWN);
    check(&[List(None), Begin, unanswered.clone(), Take(Some(1))], UNKNOWN);
    check(&[List(None), unanswered.clone(), List(None)], ABSENT);
    check(&[List(None), unanswered.clone(), List(Some(1))], present(1));
    check(&[List(None), unanswered.clone(), Note(Verdict::Gone(1))], ABSENT);
    check(&[List(None), unanswered.clone(), Added(1), Note(applied(1))], present(1));
    // What was not sent, or was refused, tells nothing of the call before.
    check(&[List(None), unanswered.clone(), Note(Verdict::NotSent)], UNKNOWN);
    check(&[List(None), unanswered, Note(refused())], UNKNOWN);
}

#[test]
fn what_changed_nothing_leaves_what_was_known() {
    for verdict in [refused(), Verdict::NotSent] {
        check(&[List(None), Note(verdict.clone())], ABSENT);
        check(&[List(Some(1)), Note(verdict.clone())], present(1));
        check(&[Note(verdict)], UNKNOWN);
    }
}

#[test]
fn deletions() {
    let begun = || Note(Verdict::DeletionBegun(2));
    check(&[List(Some(1)), begun()], present(1));
    check(&[List(Some(1)), begun(), Deleted(1)], ABSENT);
    check(&[List(Some(1)), begun(), List(None)], ABSENT);
    check(&[List(Some(1)), Begin, begun(), Take(None)], UNKNOWN);
    check(&[List(Some(1)), Note(Verdict::Gone(2))], ABSENT);
    // Deleted by somebody else.
    check(&[List(Some(1)), Deleted(1)], ABSENT);
    // The event tells of what was there before we had it made anew.
    check(&[List(Some(1)), Note(applied(3)), Note(Verdict::DeletionBegun(4)), Deleted(1)], UNKNOWN);
    check(
        &[
            List(Some(1)),
            Note(applied(3)),
            Note(Verdict::DeletionBegun(4)),
            Deleted(1),
            Added(3),
            Deleted(3),
        ],
        ABSENT,
    );
}

/// A listing is as of its first page: what its later pages show is told again by the watch.
#[test]
fn events_that_a_listing_is_ahead_of_are_passed_over() {
    check(&[List(Some(3)), Added(2)], present(3));
    check(&[List(Some(3)), Added(2), Deleted(2), Added(3)], present(3));
    check(&[List(Some(3)), Added(3), Deleted(3)], ABSENT);
    let mut mirror = after(&[List(Some(3))]);
    assert_eq!(mirror.take(event(RecordEventType::Modified, 2)), None);
    assert_eq!(mirror.take(event(RecordEventType::Modified, 3)), Some(id()));
    assert_eq!(mirror.take(event(RecordEventType::Bookmark, 9)), None);
}

/// A CRM without generations: what it took stands in, once what it says is from afterwards.
#[test]
fn generations_are_filled_in() {
    check(&[List(Some(0))], present(0));
    check(&[List(None), Note(applied(4)), List(Some(0))], present(4));
    check(&[List(None), Note(applied(4)), Added(0)], present(4));
    check(&[List(None), Note(applied(4)), List(Some(0)), List(Some(0)), Added(0)], present(4));
    check(&[List(None), Note(applied(4)), List(Some(0)), Note(applied(5))], present(4));
    // It may have been listed before the call.
    check(
        &[List(None), Note(applied(4)), List(Some(0)), Begin, Note(applied(5)), Take(Some(0))],
        present(4),
    );
    check(
        &[List(None), Note(applied(4)), List(Some(0)), Note(Verdict::DeletionBegun(5)), Deleted(0)],
        ABSENT,
    );
    // Listed twice, on two pages.
    let mut mirror = after(&[List(None), Note(applied(4)), List(Some(0))]);
    let began = mirror.begin_listing();
    mirror.replace(began, [record(0), record(0)].into_iter().collect());
    let Observation::Present(held) = mirror.observe(&id()) else { panic!("it is there") };
    assert_eq!(held.generation, 4);
}

/// Whether a creation that is still under way would be refused.
#[test]
fn an_answered_deletion_fences() {
    let fenced = |steps: &[Step], generation| after(steps).has_fenced(&id(), generation);
    assert!(!fenced(&[List(None)], 1));
    assert!(fenced(&[Note(Verdict::Gone(2))], 2));
    assert!(fenced(&[Note(Verdict::Gone(2))], 1));
    assert!(!fenced(&[Note(Verdict::Gone(2))], 3), "a newer one is not");
    assert!(fenced(&[Note(Verdict::DeletionBegun(2)), List(None), List(None)], 2), "it lasts");
    assert!(!fenced(&[Note(Verdict::Gone(2)), Note(applied(3))], 2), "taken back");
    assert!(!fenced(&[Note(refused())], 1));
    assert!(!fenced(&[Note(Verdict::Unanswered)], 1));
}

#[test]
fn what_the_crm_took_is_not_asked_again_before_it_can_show() {
    let is_awaited = |steps: &[Step]| after(steps).applied_at(&id(), 2).is_some();
    assert!(is_awaited(&[List(None), Note(applied(2))]));
    assert!(is_awaited(&[List(None), Begin, Note(applied(2)), Take(None)]));
    assert!(!is_awaited(&[List(None), Note(applied(1))]), "an older one");
    assert!(!is_awaited(&[List(None), Note(applied(2)), List(None)]), "it does not show");
    assert!(!is_awaited(&[List(None), Note(applied(2)), Note(Verdict::Unanswered)]));
    let is_begun = |steps: &[Step]| after(steps).deletion_begun_at(&id(), 2).is_some();
    assert!(is_begun(&[List(Some(1)), Note(Verdict::DeletionBegun(2))]));
    assert!(!is_begun(&[List(Some(1)), Note(Verdict::DeletionBegun(1))]));
    assert!(!is_begun(&[Note(Verdict::DeletionBegun(2)), Note(Verdict::Unanswered)]));
    assert!(!is_begun(&[Note(Verdict::DeletionBegun(2)), Note(applied(3))]));
}

#[test]
fn refusal_is_reported_until_something_is_taken() {
    let is_refused = |steps: &[Step]| after(steps).report(&id()).refusal.is_some();
    assert!(is_refused(&[List(None), Note(refused())]));
    assert!(is_refused(&[List(None), Note(refused()), List(None), List(Some(1)), Added(1)]));
    assert!(is_refused(&[Note(refused()), Note(Verdict::Unanswered)]));
    for taken in [applied(2), Verdict::DeletionBegun(2), Verdict::Gone(2)] {
        assert!(!is_refused(&[List(None), Note(refused()), Note(taken)]));
    }
}

#[test]
fn listing_answers_what_changed() {
    let mut mirror = after(&[List(Some(1))]);
    let mut list = |held: &[u64]| {
        let began = mirror.begin_listing();
        let changed = mirror.replace(began, held.iter().copied().map(record).collect());
        !changed.is_empty()
    };
    assert!(!list(&[1]));
    assert!(list(&[2]));
    assert!(list(&[]));
    assert!(!list(&[]));
    assert!(list(&[1]));
}

/// An orphan is one at two complete listings in a row.
#[test]
fn orphans_are_looked_at_twice() {
    let mut mirror = Mirror::default();
    let ids = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
    let mut suspect = |names: &[&str]| -> Vec<String> {
        mirror.suspect(ids(names)).iter().map(ToString::to_string).collect()
    };
    assert_eq!(suspect(&["a", "b"]), [""; 0]);
    assert_eq!(suspect(&["b", "c"]), ["b"]);
    assert_eq!(suspect(&[]), [""; 0]);
    assert_eq!(suspect(&["c"]), [""; 0], "not in a row");
    assert!(mirror.has_suspects());
}

/// Nothing is remembered of ids that are gone for good, or memory would grow and a poll would go on.
#[test]
fn settled_calls_are_forgotten() {
    let table: [(&[Step], bool, bool); 7] = [
        (&[List(Some(1)), Note(Verdict::DeletionBegun(1)), List(None)], false, false),
        (&[List(Some(1)), Note(refused()), List(None)], false, false),
        (&[List(Some(1)), Note(refused()), List(Some(1))], false, true),
        (&[List(Some(1)), Note(Verdict::DeletionBegun(1)), List(None)], true, true),
        (&[List(None), Note(applied(1)), List(None)], true, false),
        (&[List(None), Begin, Note(applied(1)), Take(None)], false, true),
        (&[List(None), Note(Verdict::Unanswered), List(None)], false, false),
    ];
    for (steps, has_unit, is_remembered) in table {
        let mut mirror = after(steps);
        let began = mirror.listed.unwrap();
        mirror.forget_settled(began, |_| has_unit);
        assert_eq!(mirror.calls.contains_key(&id()), is_remembered, "{steps:?} {has_unit}");
        if !is_remembered && !mirror.holds(&id()) {
            assert!(!mirror.is_moving(), "{steps:?}");
        }
    }
}

#[test]
fn moves_while_something_is_under_way() {
    let is_moving = |steps: &[Step]| after(steps).is_moving();
    assert!(!is_moving(&[List(Some(1))]));
    assert!(is_moving(&[List(None), Note(applied(1))]));
    assert!(!is_moving(&[List(None), Note(applied(1)), List(Some(1))]));
    assert!(!is_moving(&[List(None), Note(refused())]));
    let mut mirror = after(&[List(None)]);
    for condition in [RunCondition::Pending, RunCondition::Deploying, RunCondition::Deleted] {
        let mut record = record(1);
        record.status.condition = condition;
        let began = mirror.begin_listing();
        mirror.replace(began, [record].into_iter().collect());
        assert!(mirror.is_moving(), "{condition:?}");
    }
}

#[test]
fn what_is_held_is_counted_whatever_happens() {
    let mut mirror = Mirror::default();
    let weighed = |mirror: &Mirror| {
        let mut held = Held::default();
        mirror.records().for_each(|(_, record)| held.add(weight(record)));
        held
    };
    for steps in 0..200_u64 {
        let mut record = record(steps % 7);
        record.id = format!("u-{}", steps % 13).parse().unwrap();
        record.status.message = Some("x".repeat(usize::try_from(steps).unwrap()));
        let id = record.id.clone();
        match steps % 5 {
            0 => {
                let began = mirror.begin_listing();
                let mut listing = Listing::from_iter([record]);
                listing.unreadable.insert("u-3".parse().unwrap(), "no".to_owned());
                listing.nameless = (steps % 3 == 0).then(|| "no".to_owned());
                mirror.replace(began, listing);
            }
            1 => mirror.note(&id, Verdict::Gone(steps), Instant::now()),
            n => {
                let r#type =
                    if n == 2 { RecordEventType::Deleted } else { RecordEventType::Modified };
                mirror.take(RecordEvent { r#type, revision: steps, record: Some(record) });
            }
        }
        assert_eq!(mirror.held, weighed(&mirror), "after {steps} steps");
    }
    assert!(mirror.held.n_records > 3, "{:?}", mirror.held);
    let budget = Budget { max_records: mirror.held.n_records, max_bytes: mirror.held.bytes };
    assert!(mirror.check(budget).is_ok());
    let budgets = [
        Budget { max_records: budget.max_records - 1, ..budget },
        Budget { max_bytes: budget.max_bytes - 1, ..budget },
    ];
    for budget in budgets {
        assert_eq!(mirror.check(budget).unwrap_err().reason(), "BudgetExceeded");
    }
    mirror.disbelieve();
    assert_eq!((mirror.held, mirror.records().count()), (Held::default(), 0));
}

/// An unreadable record is unknown until it is read, or gone by the CRM's own word.
#[test]
fn unreadable_record_is_unknown_by_itself() {
    let unreadable = |mirror: &mut Mirror, nameless: Option<&str>| {
        let began = mirror.begin_listing();
        let mut listing = Listing::default();
        match nameless {
            Some(reason) => listing.nameless = Some(reason.to_owned()),
            None => drop(listing.unreadable.insert(id(), "no time".to_owned())),
        }
        mirror.replace(began, listing)
    };
    for nameless in [None, Some("no id")] {
        let mut mirror = after(&[List(Some(1))]);
        assert_eq!(unreadable(&mut mirror, nameless).len(), 1, "it is news once");
        assert!(unreadable(&mut mirror, nameless).is_empty());
        assert_eq!(mirror.observe(&id()), Observation::Unknown);
        let report = mirror.report(&id());
        assert!(report.record.is_some() && report.unreadable.is_some() && !report.is_complete);
        mirror.take(event(RecordEventType::Modified, 1));
        assert!(matches!(mirror.observe(&id()), Observation::Present(_)));

        unreadable(&mut mirror, nameless);
        mirror.note(&id(), Verdict::Gone(1), Instant::now());
        assert_eq!(mirror.observe(&id()), Observation::Absent);
    }
    let mut mirror = Mirror::default();
    unreadable(&mut mirror, Some("no id"));
    assert_eq!(mirror.observe(&id()), Observation::Unknown, "it may be this one");
    unreadable(&mut mirror, None);
    let began = mirror.begin_listing();
    assert_eq!(mirror.replace(began, [record(1)].into_iter().collect()).len(), 1);
    assert!(matches!(mirror.observe(&id()), Observation::Present(_)));
}
