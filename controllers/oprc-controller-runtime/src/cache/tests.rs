//! The cache over a store in memory that can be told to break.

mod faulty;

use std::{sync::Arc, time::Duration};

use oprc_cp_storage::{Op, Precondition, Revision, Store, Txn, Write, keys::Key};
use oprc_models::{names::PackageName, push::Fate};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::faulty::FaultyStore;
use super::{Cache, Changed, Freshness, Stale};

const PATIENCE: Duration = Duration::from_secs(10);

/// A cache that runs over a store that is asked to misbehave.
struct World {
    store: Arc<FaultyStore>,
    cache: Arc<Cache>,
    stop: CancellationToken,
}

impl World {
    fn start(store: FaultyStore) -> Self {
        let store = Arc::new(store);
        let cache = Cache::new(Arc::clone(&store) as _);
        let stop = CancellationToken::new();
        let running = (Arc::clone(&cache), stop.clone());
        tokio::spawn(async move { running.0.run(running.1).await });
        Self { store, cache, stop }
    }

    /// Waits until the cache shows all that is stored, and follows.
    async fn caught_up(&self) {
        let head = self.store.head().await.unwrap();
        self.cache.wait_for(head, PATIENCE).await.unwrap();
        let live = async {
            while !self.cache.position().is_live {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, live).await.expect("it goes live");
    }

    fn packages(&self) -> Vec<String> {
        self.cache.read().packages.keys().map(PackageName::to_string).collect()
    }

    /// The packages that are told of from now on.
    fn told(&self) -> (Arc<Mutex<Vec<String>>>, super::Subscription) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&told);
        let subscription = self.cache.subscribe(Arc::new(move |changed, _| {
            if let Changed::Package(name, _) = changed {
                sink.lock().push(name.to_string());
            }
        }));
        (told, subscription)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test(start_paused = true)]
async fn fills_page_by_page_and_follows() {
    let store = FaultyStore::default();
    for i in 0..2500 {
        store.put(&format!("p{i}")).await;
    }
    let world = World::start(store);
    assert_eq!(world.cache.position().revision, None);
    world.cache.filled().await;
    assert_eq!(world.packages().len(), 2500);
    world.caught_up().await;
    let (told, _subscription) = world.told();
    world.store.put("new").await;
    world.store.delete("p0").await;
    world.caught_up().await;
    assert_eq!(*told.lock(), ["new", "p0"]);
    assert_eq!(world.packages().len(), 2500);
}

/// Pages are of one revision: what is written between two of them comes by the watch.
#[tokio::test(start_paused = true)]
async fn listing_is_of_one_revision() {
    let store = FaultyStore::default();
    for i in 0..1500 {
        store.put(&format!("p{i:04}")).await;
    }
    store.put_before_page(1, &["p0000a", "p1499a"]);
    let world = World::start(store);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let _subscription = world.cache.subscribe(Arc::new(move |_, state| {
        sink.lock().push(state.packages.len());
    }));
    world.cache.filled().await;
    world.caught_up().await;
    assert_eq!(seen.lock().first(), Some(&1500), "neither of the two");
    assert_eq!(world.packages().len(), 1502);
}

#[tokio::test(start_paused = true)]
async fn transaction_is_seen_whole() {
    let world = World::start(FaultyStore::default());
    world.caught_up().await;
    let cache = Arc::clone(&world.cache);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let _subscription = world.cache.subscribe(Arc::new(move |_, state| {
        sink.lock().push(state.packages.len() % 2);
    }));
    for i in 0..50 {
        world.store.put_together(&[&format!("a{i}"), &format!("b{i}")]).await;
        assert_eq!(cache.read().packages.len() % 2, 0);
        tokio::task::yield_now().await;
    }
    world.caught_up().await;
    assert_eq!(seen.lock().len(), 100);
    assert!(seen.lock().iter().all(|odd| *odd == 0), "half a transaction was shown");
}

#[tokio::test(start_paused = true)]
async fn resumes_after_a_broken_watch() {
    let world = World::start(FaultyStore::default());
    world.store.put("a").await;
    world.caught_up().await;
    let n_lists = world.store.n_lists();
    let (told, _subscription) = world.told();
    world.store.set_down(true);
    sleep(Duration::from_secs(5)).await;
    assert!(!world.cache.position().is_live);
    assert_eq!(world.packages(), ["a"], "it answers with what it has");
    world.store.put("b").await;
    world.store.delete("a").await;
    world.store.set_down(false);
    world.caught_up().await;
    assert_eq!(world.packages(), ["b"]);
    assert_eq!(*told.lock(), ["b", "a"], "each once, in order");
    assert_eq!(world.store.n_lists(), n_lists, "no listing was needed");
}

#[tokio::test(start_paused = true)]
async fn lists_again_after_a_compaction_and_tells_of_deletions() {
    let world = World::start(FaultyStore::default());
    for name in ["a", "b", "c"] {
        world.store.put(name).await;
    }
    world.caught_up().await;
    let n_lists = world.store.n_lists();
    let (told, _subscription) = world.told();
    world.store.set_down(true);
    sleep(Duration::from_secs(1)).await;
    world.store.delete("a").await;
    world.store.put("b").await;
    world.store.put("d").await;
    world.store.compact().await;
    world.store.set_down(false);
    world.caught_up().await;
    assert_eq!(world.packages(), ["b", "c", "d"]);
    assert_eq!(*told.lock(), ["a", "b", "d", "b", "c", "d"], "the changes, and then all again");
    assert_eq!(world.store.n_lists(), n_lists + 1);
}

/// A store whose history is gone as soon as it is listed costs listings, and not without a pause.
#[tokio::test(start_paused = true)]
async fn store_that_always_compacts_is_not_hammered() {
    let world = World::start(FaultyStore::default());
    world.caught_up().await;
    let n_lists = world.store.n_lists();
    world.store.set_always_compacted(true);
    sleep(Duration::from_secs(60)).await;
    let n_lists = world.store.n_lists() - n_lists;
    assert!((20..60).contains(&n_lists), "{n_lists} listings in a minute");
    world.store.set_always_compacted(false);
    world.caught_up().await;
}

#[tokio::test(start_paused = true)]
async fn store_that_is_down_at_the_start_is_waited_for() {
    let store = FaultyStore::default();
    store.put("a").await;
    store.set_down(true);
    let world = World::start(store);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.cache.position().revision, None, "empty is not what is stored");
    world.store.set_down(false);
    timeout(Duration::from_secs(3), world.cache.filled()).await.expect("soon after");
    assert_eq!(world.packages(), ["a"]);
}

/// B10: what it says now is what is desired.
#[tokio::test(start_paused = true)]
async fn store_that_was_restored_is_believed() {
    let world = World::start(FaultyStore::default());
    for name in ["a", "b", "c"] {
        world.store.put(name).await;
    }
    world.caught_up().await;
    let before = world.cache.position().revision.unwrap();
    let (told, _subscription) = world.told();
    world.store.restore_empty();
    world.store.put("z").await;
    timeout(PATIENCE, async {
        while world.packages() != ["z"] {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("it shows the restored store");
    assert!(world.cache.position().revision.unwrap() < before);
    assert_eq!(*told.lock(), ["a", "b", "c", "z", "z"]);
    world.store.put("y").await;
    world.caught_up().await;
    assert_eq!(world.packages(), ["y", "z"]);
}

/// B13: what a watch loses without a sign is missed for some minutes, not for ever.
#[tokio::test(start_paused = true)]
async fn what_a_watch_lost_is_found_by_the_second_look() {
    let world = World::start(FaultyStore::default());
    let names: Vec<_> = (0..1200).map(|i| format!("p{i:04}")).collect();
    for name in &names {
        world.store.put(name).await;
    }
    world.caught_up().await;
    let (told, _subscription) = world.told();
    let mut n_missed = 0;
    // On each of three pages, and after all of them.
    for name in ["p0000", "p0700", "p1199", "q"] {
        for is_removal in [false, true] {
            world.store.set_losing(true);
            if is_removal {
                world.store.delete(name).await;
            } else {
                world.store.put(name).await;
            }
            world.caught_up().await;
            world.store.set_losing(false);
            told.lock().clear();
            sleep(Duration::from_secs(20 * 60)).await;
            n_missed += 1;
            assert_eq!(world.cache.n_missed(), n_missed, "{name}");
            assert!(told.lock().iter().any(|told| told == name), "{name}");
            let listed = world.store.get(&format!("packages/{name}")).await.unwrap();
            let shown = world.cache.read().packages.get(name).map(|entry| entry.revision);
            assert_eq!(shown, listed.map(|listed| listed.mod_revision), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_watch_lost_of_pushes_and_bundles_is_found_too() {
    let world = World::start(FaultyStore::default());
    world.caught_up().await;
    let time = "1970-01-01T00:00:00Z";
    let push = |progress| json!({"progress": progress, "begun_at": time, "n_documents": 2});
    let bundle = json!({
        "name": "b", "generation": 1, "created_at": time, "updated_at": time,
        "n_packages": 1, "n_deployments": 1,
    });
    let id = "push-1".parse().unwrap();
    let lost = [
        ("pushes/push-1", Some(push("PENDING"))),
        ("pushes/push-1", Some(push("COMMITTED"))),
        ("pushes/push-1", None),
        ("bundles/b", Some(bundle)),
    ];
    for (n_missed, (key, value)) in (1..).zip(lost) {
        let before = world.store.get(key).await.unwrap();
        let precondition =
            before.map_or(Precondition::Absent, |it| Precondition::At(it.mod_revision));
        let op = value.as_ref().map_or(Op::Delete, |value| Op::Put(value.to_string().into()));
        let writes = vec![Write { key: key.to_owned(), precondition, op }];
        world.store.set_losing(true);
        world.store.txn(Txn { checks: Vec::new(), writes }).await.unwrap();
        world.caught_up().await;
        world.store.set_losing(false);
        sleep(Duration::from_secs(20 * 60)).await;
        assert_eq!(world.cache.n_missed(), n_missed, "{key} {value:?}");
    }
    let state = world.cache.read();
    assert_eq!(state.fate(&id), Fate::Aborted);
    assert_eq!(state.bundles.len(), 1);
}

/// Seed 213011 of the simulation: a revision that the cache still showed was removed over and over.
#[tokio::test(start_paused = true)]
async fn what_a_write_found_otherwise_is_looked_at_at_once() {
    let world = World::start(FaultyStore::default());
    let key = "package-revisions/p/1".to_owned();
    world.store.put("p").await;
    let write = |precondition, op| Txn {
        checks: Vec::new(),
        writes: vec![Write { key: key.clone(), precondition, op }],
    };
    let put = write(Precondition::Absent, Op::Put("{}".into()));
    let at = world.store.txn(put).await.unwrap();
    world.caught_up().await;
    let shown = |world: &World| world.cache.read().package_revisions.contains_key("p");
    assert!(shown(&world));

    // Whoever was only late, or asks about an election, or about what nobody knows, learns nothing.
    let leader = "leader/pm".to_owned();
    let put =
        Write { key: leader.clone(), precondition: Precondition::Absent, op: Op::Put("{}".into()) };
    world.store.txn(Txn { checks: Vec::new(), writes: vec![put] }).await.unwrap();
    world.caught_up().await;
    let absent = "packages/nothing".to_owned();
    world.cache.doubt(&[key.clone(), leader, absent, "packages/p".to_owned()]);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(world.cache.n_missed(), 0);

    world.store.set_losing(true);
    world.store.txn(write(Precondition::At(at), Op::Delete)).await.unwrap();
    world.caught_up().await;
    world.store.set_losing(false);
    sleep(Duration::from_secs(20)).await;
    assert!(shown(&world), "it was lost");
    world.cache.doubt(&[key.clone()]);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.cache.n_missed(), 1);
    assert!(!shown(&world));

    // And what was lost of what was made.
    world.store.set_losing(true);
    let put = write(Precondition::Absent, Op::Put("{}".into()));
    world.store.txn(put).await.unwrap();
    world.caught_up().await;
    world.store.set_losing(false);
    world.cache.doubt(&[key.clone()]);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.cache.n_missed(), 2);
    assert!(shown(&world));
}

#[tokio::test(start_paused = true)]
async fn second_look_finds_nothing_where_nothing_is_missed_and_costs_little() {
    let world = World::start(FaultyStore::default());
    for i in 0..600 {
        world.store.put(&format!("p{i:04}")).await;
    }
    world.store.put_garbage("bad").await;
    world.caught_up().await;
    let n_lists = world.store.n_lists();
    // Changes between a page and the look at it, of what is before it, on it and after it.
    for round in 0..7_200 {
        let name = format!("p{:04}", (round * 7) % 700);
        if round % 3 == 0 {
            let key = format!("packages/{name}");
            if world.store.get(&key).await.unwrap().is_some() {
                world.store.delete(&name).await;
            }
        } else {
            world.store.put(&name).await;
        }
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(world.cache.n_missed(), 0);
    let n_lists = world.store.n_lists() - n_lists;
    assert!((18..115).contains(&n_lists), "{n_lists} listings of parts in an hour");
}

#[tokio::test(start_paused = true)]
async fn dropped_subscription_is_told_nothing() {
    let world = World::start(FaultyStore::default());
    world.caught_up().await;
    let (told, subscription) = world.told();
    world.store.put("a").await;
    world.caught_up().await;
    drop(subscription);
    world.store.put("b").await;
    world.caught_up().await;
    assert_eq!(*told.lock(), ["a"]);
    assert!(world.cache.triggers.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn unreadable_value_is_reported_and_heals() {
    let world = World::start(FaultyStore::default());
    world.store.put("a").await;
    world.store.put_garbage("b").await;
    world.caught_up().await;
    let key = Key::Package("b".parse().unwrap());
    assert_eq!(world.packages(), ["a"], "the rest goes on");
    assert!(world.cache.read().unreadable.contains_key(&key));
    world.store.put("b").await;
    world.caught_up().await;
    assert_eq!(world.packages(), ["a", "b"]);
    assert!(world.cache.read().unreadable.is_empty());
}

#[tokio::test(start_paused = true)]
async fn waiting_has_an_end() {
    let world = World::start(FaultyStore::default());
    world.caught_up().await;
    let behind = world.cache.wait_for(Revision(99), Duration::from_secs(2)).await.unwrap_err();
    assert_eq!((behind.wanted, behind.waited), (Revision(99), Duration::from_secs(2)));
}

fn freshness(world: &World) -> Freshness {
    let store = Arc::clone(&world.store) as _;
    let (freshness, asking) =
        Freshness::new(Arc::clone(&world.cache), store, PATIENCE, world.stop.clone());
    tokio::spawn(asking);
    freshness
}

/// A reader sees what was written before it came, and a crowd costs two questions, not hundreds.
#[tokio::test(start_paused = true)]
async fn fresh_reads_share_questions() {
    let world = World::start(FaultyStore::default());
    world.caught_up().await;
    let freshness = freshness(&world);
    world.store.put("a").await;
    freshness.wait().await.unwrap();
    assert_eq!(world.packages(), ["a"]);
    world.store.set_head_delay(Duration::from_millis(100));
    let n_heads = world.store.n_heads();
    let readers: Vec<_> = (0..500)
        .map(|_| {
            let freshness = freshness.clone();
            tokio::spawn(async move { freshness.wait().await })
        })
        .collect();
    sleep(Duration::from_millis(50)).await;
    // These come while the question is under way, so they wait for the next.
    world.store.put("b").await;
    freshness.wait().await.unwrap();
    assert_eq!(world.packages(), ["a", "b"]);
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
    let asked = world.store.n_heads() - n_heads;
    assert!(asked <= 3, "{asked} questions");
}

#[tokio::test(start_paused = true)]
async fn fresh_read_says_when_it_cannot_be() {
    let world = World::start(FaultyStore::default());
    world.caught_up().await;
    let freshness = freshness(&world);
    world.store.set_down(true);
    assert!(matches!(freshness.wait().await, Err(Stale::OutOfReach)));
    world.store.set_down(false);
    world.store.set_head_delay(PATIENCE * 2);
    assert!(matches!(freshness.wait().await, Err(Stale::OutOfReach)));
    world.store.set_head_delay(Duration::ZERO);
    // The store answers, and the watch tells nothing.
    sleep(PATIENCE * 3).await;
    world.store.set_silent(true);
    sleep(Duration::from_secs(5)).await;
    world.store.put("a").await;
    assert!(matches!(freshness.wait().await, Err(Stale::Behind(_))));
    world.store.set_silent(false);
    world.caught_up().await;
    freshness.wait().await.unwrap();
    world.stop.cancel();
    sleep(Duration::from_millis(10)).await;
    assert!(matches!(freshness.wait().await, Err(Stale::OutOfReach)));
}
