use std::time::Duration;

use super::*;

fn id(name: &str) -> UnitId {
    name.parse().unwrap()
}

fn names(ids: &[UnitId]) -> Vec<&str> {
    ids.iter().map(UnitId::as_str).collect()
}

#[test]
fn those_that_are_due_come_in_order_and_once() {
    let (timers, now) = (Timers::default(), Instant::now());
    let later = now + Duration::from_secs(1);
    timers.set(&id("b"), later, Revision(1));
    timers.set(&id("a"), now, Revision(2));
    assert_eq!(timers.next_due(), Some(now));
    assert_eq!(names(&timers.pop_due(now, 9)), ["a"]);
    assert_eq!(names(&timers.pop_due(now, 9)), [""; 0]);
    timers.set(&id("c"), now, Revision(3));
    assert_eq!(names(&timers.pop_due(later, 1)), ["c"], "no more than asked for");
    assert_eq!(names(&timers.pop_due(later, 9)), ["b"]);
    assert_eq!(timers.next_due(), None);
}

#[test]
fn newer_knowledge_wins_and_older_is_ignored() {
    let (timers, now) = (Timers::default(), Instant::now());
    let later = now + Duration::from_secs(5);
    timers.set(&id("a"), later, Revision(12));
    timers.set(&id("a"), now, Revision(11));
    assert_eq!(timers.next_due(), Some(later), "older news must not hurry");
    timers.set(&id("a"), now, Revision(13));
    assert_eq!(timers.next_due(), Some(now));
    timers.set(&id("a"), later, Revision(14));
    assert_eq!(timers.next_due(), Some(later), "newer knowledge may wait");
    assert_eq!(names(&timers.pop_due(later, 9)), ["a"]);
}
