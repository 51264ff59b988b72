//! The cache over a store in memory that can be told to break.

mod faulty;
mod lost;

use std::{sync::Arc, time::Duration};

use oprc_cp_storage::{Revision, Store, keys::Key};
use oprc_models::names::PackageName;
use parking_lot::Mutex;
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
