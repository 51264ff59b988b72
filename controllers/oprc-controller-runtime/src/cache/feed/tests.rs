//! Marks, and the ring as a cache over a store in memory fills it.

use std::{sync::Arc, time::Duration};

use oprc_cp_storage::{Op, Precondition, Revision, SharedStore, Txn, Write, memory::MemoryStore};
use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{super::Cache, *};

#[test]
fn marks_are_text_and_in_order() {
    let marks = ["0", "7.0", "7.1", "7", "8.0", "8", "18446744073709551615"];
    let parsed: Vec<Mark> = marks.iter().map(|mark| mark.parse().unwrap()).collect();
    assert!(parsed.is_sorted());
    let shown: Vec<String> = parsed.iter().map(ToString::to_string).collect();
    assert_eq!(shown, marks);
    for wrong in ["", ".", "7.", ".7", "-7", "+7", "7.1.2", "x", "7.99999999999", " 7"] {
        assert_eq!(wrong.parse::<Mark>(), Err(InvalidMark), "{wrong:?}");
    }
}

/// A cache that keeps up with a store, until dropped.
struct World {
    store: SharedStore,
    cache: Arc<Cache>,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    async fn over(store: SharedStore, past: u64) -> Self {
        let cache = Cache::with_past(Arc::clone(&store), past);
        let stop = CancellationToken::new();
        let running = (Arc::clone(&cache), stop.clone());
        tokio::spawn(async move { running.0.run(running.1).await });
        cache.filled().await;
        Self { store, cache, stop }
    }

    /// Writes each of `keys`, or with `-` before it removes it, in one transaction.
    async fn write(&self, keys: &[&str]) -> Revision {
        let mut writes = Vec::new();
        for key in keys {
            let (key, op) = match key.strip_prefix('-') {
                Some(key) => (key, Op::Delete),
                None => (*key, Op::Put(value(key).into())),
            };
            let before = self.store.get(key).await.unwrap();
            let precondition =
                before.map_or(Precondition::Absent, |before| Precondition::At(before.mod_revision));
            writes.push(Write { key: key.to_owned(), precondition, op });
        }
        let revision = self.store.txn(Txn { checks: Vec::new(), writes }).await.unwrap();
        self.cache.wait_for(revision, Duration::from_secs(5)).await.unwrap();
        revision
    }

    /// What is told after `mark`, taken `limit` at a time.
    fn told(&self, mark: Mark, limit: usize) -> Vec<String> {
        let mut cursor = self.cache.feed().after(mark).unwrap();
        let mut told = Vec::new();
        loop {
            let events = self.cache.feed().take(&mut cursor, limit).unwrap();
            if events.is_empty() {
                return told;
            }
            told.extend(events.iter().map(|event| shown(event)));
        }
    }
}

fn value(key: &str) -> String {
    let name = key.rsplit('/').next().unwrap();
    if key.starts_with("status/") {
        return json!({ "uid": "u", "observed_generation": 1 }).to_string();
    }
    let time = "1970-01-01T00:00:00Z";
    let meta = json!({"uid": "u", "generation": 1, "created_at": time, "updated_at": time});
    json!({ "meta": meta, "spec": { "name": name } }).to_string()
}

fn shown(event: &Event) -> String {
    let sign = match (&event.before, &event.after) {
        (None, Some(_)) => '+',
        (Some(_), Some(_)) => '*',
        (Some(_), None) => '-',
        (None, None) => '?',
    };
    let status = match event.after.as_ref().map(|after| &after.contents) {
        Some(Contents::Package(package)) if package.status.is_some() => "!",
        _ => "",
    };
    let Object::Package(name) = &event.object else { panic!("{event:?}") };
    format!("{}{sign}{name}{status}", event.mark)
}

#[tokio::test(start_paused = true)]
async fn one_event_for_each_object_of_a_revision() {
    let world = World::over(Arc::<MemoryStore>::default(), 0).await;
    let start = world.cache.feed().end().mark;
    world.write(&["packages/b", "packages/a"]).await;
    world.write(&["status/packages/a"]).await;
    world.write(&["packages/a", "status/packages/a", "units/east/d"]).await;
    world.write(&["units/east/d"]).await;
    world.write(&["-packages/a", "-status/packages/a", "packages/c"]).await;
    let all = ["1.0+a", "1+b", "2*a!", "3*a!", "5.0-a", "5+c"];
    for limit in 1..8 {
        assert_eq!(world.told(start, limit), all);
    }
    for (n, seen) in all.iter().enumerate() {
        let mark = seen.split(['+', '-', '*']).next().unwrap().parse().unwrap();
        assert_eq!(world.told(mark, 9), all[n + 1..], "after {seen}");
    }
}

#[tokio::test(start_paused = true)]
async fn past_is_read_at_the_start() {
    let store: SharedStore = Arc::<MemoryStore>::default();
    let first = World::over(Arc::clone(&store), 0).await;
    for key in ["packages/a", "packages/b", "-packages/a", "packages/c", "status/packages/c"] {
        first.write(&[key]).await;
    }
    for (past, want) in
        [(99, vec!["2+b", "3-a", "4+c", "5*c!"]), (2, vec!["4+c", "5*c!"]), (0, vec![])]
    {
        let second = World::over(Arc::clone(&store), past).await;
        let forgotten = second.cache.feed().ring.lock().forgotten;
        assert_eq!(second.told(forgotten, 9), want);
        assert_eq!(second.cache.read().packages.len(), 2);
        assert_eq!(second.cache.read().revision(), Revision(5));
    }
}

#[tokio::test(start_paused = true)]
async fn compacted_past_is_done_without() {
    let memory = MemoryStore::default();
    let store: SharedStore = Arc::new(memory.clone());
    let first = World::over(Arc::clone(&store), 0).await;
    first.write(&["packages/a"]).await;
    first.write(&["packages/b"]).await;
    memory.compact(Revision(2));
    let second = World::over(store, 99).await;
    assert_eq!(second.cache.read().packages.len(), 2);
    assert_eq!(second.cache.feed().after(Mark::end_of(Revision(1))).unwrap_err(), Lost);
    assert_eq!(second.told(Mark::end_of(Revision(2)), 9), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn who_falls_behind_or_asks_for_the_future_is_told() {
    let world = World::over(Arc::<MemoryStore>::default(), 0).await;
    let feed = world.cache.feed();
    let mut slow = feed.end();
    assert_eq!(feed.after("1".parse().unwrap()).unwrap_err(), Lost, "the future");
    let waiting = timeout(Duration::from_secs(60), feed.grown_past(&slow));
    waiting.await.expect_err("nothing happens");
    world.write(&["packages/a"]).await;
    timeout(Duration::from_secs(1), feed.grown_past(&slow)).await.expect("something did");
    let draft = |revision| Draft {
        mark: Mark::of(Revision(revision), 0, 1),
        object: Object::Package("a".parse().unwrap()),
        before: None,
        after: world.cache.read().snapshot(&Object::Package("a".parse().unwrap())),
        is_unreadable: false,
        n_bytes: 1000,
    };
    let n_events = u64::try_from(MAX_EVENTS).unwrap();
    feed.extend((2..n_events + 2).map(draft).collect(), Revision(n_events + 1));
    assert_eq!(feed.ring.lock().events.len(), MAX_EVENTS);
    assert_eq!(feed.take(&mut slow, 1).unwrap_err(), Lost);
    let heavy = Draft { n_bytes: MAX_BYTES - 999, ..draft(n_events + 2) };
    feed.extend(vec![heavy], Revision(n_events + 2));
    assert_eq!(feed.ring.lock().events.len(), 1, "bounded in bytes too");
    let mut cursor = feed.end();
    feed.reset(Revision(3));
    assert_eq!(feed.take(&mut cursor, 1).unwrap_err(), Lost, "another life");
    feed.grown_past(&cursor).await;
}

#[tokio::test(start_paused = true)]
async fn text_is_made_once() {
    let world = World::over(Arc::<MemoryStore>::default(), 0).await;
    let mut cursor = world.cache.feed().end();
    world.write(&["packages/a"]).await;
    let events = world.cache.feed().take(&mut cursor, 9).unwrap();
    let first = events[0].text(Side::After, |_| b"once".to_vec());
    let second = events[0].text(Side::After, |_| panic!("it is there"));
    assert_eq!((&*first, first.as_ptr()), (&b"once"[..], second.as_ptr()));
    assert_eq!(world.cache.feed().n_text_bytes.load(Relaxed), 4);
    world.cache.feed().reset(Revision(1));
    drop(events);
    assert_eq!(world.cache.feed().n_text_bytes.load(Relaxed), 0);
}
