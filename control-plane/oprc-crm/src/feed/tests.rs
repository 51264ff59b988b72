use super::*;

fn snapshot(condition: &str, package: &str) -> Arc<Snapshot> {
    let json = format!(
        r#"{{"package_name":"{package}","class_key":"C","target_environment":"east","status":{{"condition":"{condition}"}}}}"#
    );
    let condition = serde_json::from_value(condition.into()).unwrap();
    Arc::new(Snapshot { condition, json: json.into() })
}

fn mark(revision: u64, place: u64) -> Mark {
    Mark::of(Revision(revision), place)
}

/// The kinds and marks of what is taken after `from`.
#[track_caller]
fn check(feed: &Feed, filter: &Filter, from: Mark, want: &[(&str, Mark)]) {
    let taken = feed.take(filter, from, usize::MAX).unwrap();
    let frames = String::from_utf8(taken.frames).unwrap();
    let found: Vec<_> = frames
        .split_terminator("\n\n")
        .map(|frame| {
            let (event, rest) =
                frame.strip_prefix("event: ").unwrap().split_once("\nid: ").unwrap();
            (event, Mark(rest.split_once('\n').unwrap().0.parse().unwrap()))
        })
        .collect();
    assert_eq!(found, want);
}

#[test]
fn every_event_has_a_mark_of_its_own_and_any_of_them_can_be_resumed_at() {
    let feed = Feed::default();
    feed.reset(Revision(4), BTreeMap::new());
    let running = || Some(snapshot("RUNNING", "shop"));
    let changes = [
        (mark(5, 0), "a".to_owned(), running()),
        (mark(5, 1), "b".to_owned(), running()),
        (mark(6, 0), "a".to_owned(), running()),
        (mark(7, 0), "a".to_owned(), None),
    ];
    feed.extend(changes, Mark::end_of(Revision(9)));
    let all = [
        ("ADDED", mark(5, 0)),
        ("ADDED", mark(5, 1)),
        ("MODIFIED", mark(6, 0)),
        ("DELETED", mark(7, 0)),
    ];
    check(&feed, &Filter::default(), Mark::end_of(Revision(4)), &all);
    for (seen, (_, mark)) in all.iter().enumerate() {
        check(&feed, &Filter::default(), *mark, &all[seen + 1..]);
    }
    let end = feed.take(&Filter::default(), mark(7, 0), usize::MAX).unwrap().mark;
    assert_eq!(end, Mark::end_of(Revision(9)), "told of what is not about records too");
    assert_eq!(feed.take(&Filter::default(), mark(4, 0), usize::MAX), Err(Lost));
}

#[test]
fn a_filter_sees_records_come_and_go() {
    let feed = Feed::default();
    feed.reset(Revision(1), BTreeMap::new());
    let conditions = ["PENDING", "RUNNING", "RUNNING", "DOWN"];
    let changes = (2..).zip(conditions).map(|(revision, condition)| {
        (mark(revision, 0), "a".to_owned(), Some(snapshot(condition, "shop")))
    });
    feed.extend(changes, mark(5, 0));
    let filter = Filter { status: Some(RunCondition::Running), ..Filter::default() };
    check(
        &feed,
        &filter,
        Mark::end_of(Revision(1)),
        &[("ADDED", mark(3, 0)), ("MODIFIED", mark(4, 0)), ("DELETED", mark(5, 0))],
    );
    let other = Filter { package: Some("other".to_owned()), ..Filter::default() };
    check(&feed, &other, Mark::end_of(Revision(1)), &[]);
    assert_eq!(feed.counts()[&RunCondition::Down], 1);
}

#[test]
fn the_ring_is_bounded_and_who_falls_behind_is_told() {
    let feed = Feed::default();
    feed.reset(Revision(0), BTreeMap::new());
    let n_events = MAX_EVENTS as u64 + 10;
    let changes = (1..=n_events)
        .map(|revision| (mark(revision, 0), "a".to_owned(), Some(snapshot("RUNNING", "shop"))));
    feed.extend(changes, mark(n_events, 0));
    assert_eq!(feed.ring.lock().events.len(), MAX_EVENTS);
    assert_eq!(feed.forgotten(), mark(10, 0));
    assert_eq!(feed.take(&Filter::default(), mark(9, 0), 1), Err(Lost));
    let taken = feed.take(&Filter::default(), mark(10, 0), 1).unwrap();
    assert_eq!(taken.mark, mark(11, 0), "a chunk ends once it is full");
}

#[test]
fn a_bookmark_has_no_record() {
    let text = String::from_utf8(bookmark(Mark(7))).unwrap();
    assert_eq!(text, "event: BOOKMARK\nid: 7\ndata: {\"type\":\"BOOKMARK\",\"revision\":7}\n\n");
}
