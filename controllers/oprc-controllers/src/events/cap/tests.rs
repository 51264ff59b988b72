//! Whose events go first.

use std::sync::Arc;

use oprc_controller_runtime::cache::Entry;
use oprc_models::{
    cluster::ClusterSpec,
    event::{Event, Severity, StoredEvents},
    meta::{Meta, Stored},
};

use super::*;

/// Adds `n` events of `kind/name`, the last of them in this second.
fn add(state: &mut State, about: &str, n: u64, second: i64) {
    let (kind, name) = about.split_once('/').unwrap();
    let at = Timestamp::from_second(second).unwrap();
    let event = |i| Event {
        package_name: None,
        reason: format!("R{i}"),
        uid: None,
        correlation_id: None,
        severity: Severity::Normal,
        message: String::new(),
        count: 1,
        first: at,
        last: at,
    };
    let value = Arc::new(StoredEvents { events: (0..n).map(event).collect() });
    state.events.insert(About::new(kind, name).unwrap(), Entry { value, revision: Revision(7) });
}

/// Two clusters that are there and three packages that are not, with ten events each.
fn state() -> State {
    let mut state = State::default();
    for (name, second) in [("east", 1), ("west", 2)] {
        add(&mut state, &format!("cluster/{name}"), 10, second);
        let spec = ClusterSpec { name: name.parse().unwrap(), endpoints: Vec::new() };
        let meta = Meta::new("u1".to_owned(), 1, Timestamp::UNIX_EPOCH);
        let value = Arc::new(Stored { meta, spec });
        state.clusters.insert(name.parse().unwrap(), Entry { value, revision: Revision(1) });
    }
    for (name, second) in [("b", 30), ("a", 40), ("c", 20)] {
        add(&mut state, &format!("package/{name}"), 10, second);
    }
    state
}

#[track_caller]
fn check(deleted: usize, all: usize, want: &[&str]) {
    let victims = victims(&state(), Caps { deleted, all });
    let names: Vec<_> = victims.iter().map(|(about, _)| about.name()).collect();
    assert_eq!(names, want);
    assert!(victims.iter().all(|(_, revision)| *revision == Revision(7)));
}

#[test]
fn events_below_the_caps_stay() {
    check(30, 50, &[]);
}

#[test]
fn the_oldest_of_deleted_objects_go_first() {
    check(20, 100, &["c", "b"]);
    check(100, 40, &["c", "b"]);
    check(0, 100, &["c", "b", "a"]);
}

#[test]
fn objects_that_are_there_lose_theirs_last() {
    check(100, 20, &["c", "b", "a", "east"]);
    check(0, 0, &["c", "b", "a", "east", "west"]);
}
