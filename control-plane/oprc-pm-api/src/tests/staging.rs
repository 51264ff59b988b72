//! Pushes of more documents than one transaction holds: all or nothing to every reader, wherever
//! the pusher is cut off.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use oprc_controller_runtime::cache::Subscription;
use oprc_cp_storage::{Store, keys::Key, memory::MemoryStore};
use serde_json::{Value, json};

use super::{
    applying::{apply, outcomes},
    world::{Fault, FaultyStore, World, deployment, name, package, with},
};
use crate::Limits;

/// Three batches of intents.
const MANY: usize = 260;

/// A package and many deployments of it, with `tag` in each.
fn documents(n: usize, tag: &str) -> Vec<Value> {
    let labelled = |document| with(document, "labels", json!({ "tag": tag }));
    let deployments = (0..n).map(|i| labelled(deployment(&format!("d{i:04}"), "shop")));
    [labelled(package("shop"))].into_iter().chain(deployments).collect()
}

/// A replica over `memory`.
async fn replica(memory: &Arc<MemoryStore>) -> World {
    let store = FaultyStore { memory: Arc::clone(memory), ..FaultyStore::default() };
    let world = World::over(Arc::new(store), Limits::default());
    world.cache.filled().await;
    world
}

/// Looks at every state that the replica ever shows: all documents have the same tag, or there are
/// none. Counts the states.
fn watch(world: &World, n: usize) -> (Subscription, Arc<AtomicU64>) {
    let n_looks = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&n_looks);
    let subscription = world.cache.subscribe(Arc::new(move |_, state| {
        let tags = state.deployments.values().map(|entry| entry.value.spec.labels.get("tag"));
        let tags: std::collections::BTreeMap<_, usize> =
            tags.fold(std::collections::BTreeMap::new(), |mut tags, tag| {
                *tags.entry(tag.cloned()).or_default() += 1;
                tags
            });
        assert!(tags.len() <= 1, "half a push: {tags:?}");
        assert!(tags.values().all(|count| *count == n), "a part of a push: {tags:?}");
        counted.fetch_add(1, Ordering::SeqCst);
    }));
    (subscription, n_looks)
}

/// The tag that the documents have.
async fn tag(world: &World) -> Option<String> {
    let got = world.get("/api/v1/deployments/d0000").await;
    (got.status == 200).then(|| got.json()["labels"]["tag"].as_str().unwrap().to_owned())
}

async fn n_pushes(world: &World) -> usize {
    world.store.memory.list("pushes/", None, 10, None).await.unwrap().items.len()
}

async fn n_intents(world: &World) -> usize {
    let page = world.store.memory.list("deployments/", None, 10_000, None).await.unwrap();
    page.items.iter().filter(|item| item.value.windows(8).any(|w| w == b"\"intent\"")).count()
}

#[tokio::test(start_paused = true)]
async fn many_documents_at_one_moment() {
    let memory = Arc::new(MemoryStore::default());
    let (pusher, reader) = (replica(&memory).await, replica(&memory).await);
    let (_watching, n_looks) = watch(&reader, MANY);
    for (version, want) in [("one", "created 1"), ("two", "replaced 2"), ("two", "unchanged 2")] {
        let reply = apply(&pusher, "?bundle=b", &documents(MANY, version)).await.is(200);
        let outcomes = outcomes(&reply);
        assert_eq!(outcomes.len(), MANY + 1);
        assert!(outcomes.iter().all(|outcome| outcome.ends_with(want)), "{outcomes:?}");
        assert_eq!(tag(&reader).await.as_deref(), Some(version));
        assert_eq!((n_pushes(&reader).await, n_intents(&reader).await), (0, 0));
    }
    assert!(n_looks.load(Ordering::SeqCst) > 1000);
    let pruned = apply(&pusher, "?bundle=b&prune=true&allow_empty=true", &[]).await.is(200);
    assert_eq!(outcomes(&pruned).len(), MANY + 1);
    assert!(pusher.meta("deployments/d0000").await.unwrap().is_deleting());
}

/// Cuts the pusher off at each of its transactions, before and after it landed, in creations and in
/// replacements; another replica sees all or nothing, and pushes the same again.
#[tokio::test(start_paused = true)]
async fn cut_off_at_every_step() {
    let mut n_cuts = 0;
    for is_replacing in [false, true] {
        for fault in [Fault::Lost, Fault::MaybeDone] {
            for step in 0.. {
                let memory = Arc::new(MemoryStore::default());
                let (pusher, reader) = (replica(&memory).await, replica(&memory).await);
                let (_watching, _) = watch(&reader, MANY);
                if is_replacing {
                    apply(&pusher, "?bundle=b", &documents(MANY, "old")).await.is(200);
                }
                let before = tag(&reader).await;
                pusher.store.is_fatal.store(true, Ordering::SeqCst);
                pusher.store.fault_in.store(step, Ordering::SeqCst);
                *pusher.store.fault.lock() = Some(fault);
                let reply = apply(&pusher, "?bundle=b", &documents(MANY, "new")).await;
                let was_cut = pusher.store.fault.lock().is_none();
                drop(pusher);
                let after = tag(&reader).await;
                if reply.status == 200 {
                    assert_eq!(after.as_deref(), Some("new"), "told as done: step {step}");
                } else {
                    let is_either = after == before || after.as_deref() == Some("new");
                    assert!(is_either, "step {step} of {fault:?}: {before:?} to {after:?}");
                }
                // A pipeline tries again, when what is in the way has ended.
                let mut reply = apply(&reader, "?bundle=b", &documents(MANY, "new")).await;
                for _ in 0..10 {
                    if reply.status == 200 {
                        break;
                    }
                    assert_eq!(reply.header("retry-after"), "1");
                    reply.refused(409, "conflict");
                    tokio::time::advance(Duration::from_secs(1)).await;
                    reply = apply(&reader, "?bundle=b", &documents(MANY, "new")).await;
                }
                reply.is(200);
                assert_eq!(tag(&reader).await.as_deref(), Some("new"));
                if !was_cut {
                    break;
                }
                n_cuts += 1;
            }
        }
    }
    assert!(n_cuts > 4 * 6, "{n_cuts} cuts");
}

/// The store fails one transaction, and the pusher lives.
#[tokio::test(start_paused = true)]
async fn a_call_that_failed() {
    for fault in [Fault::Lost, Fault::MaybeDone, Fault::Full] {
        for step in 0.. {
            let memory = Arc::new(MemoryStore::default());
            let (pusher, reader) = (replica(&memory).await, replica(&memory).await);
            let (_watching, _) = watch(&reader, MANY);
            pusher.store.fault_in.store(step, Ordering::SeqCst);
            *pusher.store.fault.lock() = Some(fault);
            let reply = apply(&pusher, "", &documents(MANY, "new")).await;
            let was_struck = pusher.store.fault.lock().is_none();
            let is_there = tag(&reader).await.is_some();
            assert_eq!(reply.status == 200, is_there, "step {step} of {fault:?}: {:?}", reply.body);
            if fault == Fault::MaybeDone && step > 0 {
                reply.is(200);
            }
            if !is_there && step > 0 {
                assert_eq!((n_pushes(&reader).await, n_intents(&reader).await), (0, 0));
            }
            apply(&pusher, "", &documents(MANY, "new")).await.is(200);
            if !was_struck {
                break;
            }
        }
    }
}

/// Other writes meet an undecided intent: they wait, then say so, and never overwrite it.
#[tokio::test(start_paused = true)]
async fn others_meet_an_intent() {
    let world = World::new().await;
    let tagged = |tag| with(deployment("d", "shop"), "labels", json!({ "tag": tag }));
    let first = world.put("/api/v1/deployments/d", tagged("old")).await.is(201);
    let key = Key::Deployment(name("d"));
    let stored = world.store.memory.get("deployments/d").await.unwrap().unwrap();
    let mut staged: Value = serde_json::from_slice(&stored.value).unwrap();
    let mut intent = staged.clone();
    intent["push"] = json!("p");
    intent["since"] = json!(stored.mod_revision);
    intent["spec"]["labels"]["tag"] = json!("new");
    intent["meta"]["generation"] = json!(2);
    staged["intent"] = intent.clone();
    let record = |progress| json!({"progress": progress, "begun_at": "2026-01-01T00:00:00Z", "n_documents": 1});
    let push = Key::Push(name("p"));
    world.store(&push, &record("PENDING")).await;
    world.store(&key, &staged).await;

    let shown = world.get("/api/v1/deployments/d").await.is(200);
    assert_eq!(shown.json()["labels"]["tag"], "old");
    assert_eq!(shown.json()["meta"]["resource_version"], json!(stored.mod_revision.to_string()));
    for reply in [
        world.put("/api/v1/deployments/d", tagged("mine")).await,
        world.delete("/api/v1/deployments/d").await,
        apply(&world, "", &[tagged("mine")]).await,
    ] {
        assert_eq!(reply.header("retry-after"), "1");
        reply.refused(409, "conflict");
    }
    // The same as it is writes nothing.
    world.put("/api/v1/deployments/d", tagged("old")).await.is(200);

    world.store(&push, &record("COMMITTED")).await;
    let shown = world.get("/api/v1/deployments/d").await.is(200);
    assert_eq!(shown.json()["labels"]["tag"], "new");
    assert_eq!(shown.json()["meta"]["generation"], 2);
    let stale = [("if-match", first.etag())];
    world
        .put_if("/api/v1/deployments/d", tagged("mine"), &stale)
        .await
        .refused(412, "precondition_failed");
    let tag = [("if-match", shown.etag())];
    let mine = world.put_if("/api/v1/deployments/d", tagged("mine"), &tag).await.is(200);
    assert_eq!(mine.json()["meta"]["generation"], 3);
    assert!(world.meta("deployments/d").await.is_some());

    // Of a push that was aborted it is nothing.
    staged["meta"] = mine.json()["meta"].clone();
    staged["meta"].as_object_mut().unwrap().remove("resource_version");
    staged["intent"]["push"] = json!("q");
    let push = Key::Push(name("q"));
    world.store(&push, &record("PENDING")).await;
    world.store(&key, &staged).await;
    world.remove(&push).await;
    let aborted = world.put("/api/v1/deployments/d", tagged("again")).await.is(200);
    assert_eq!(aborted.json()["meta"]["generation"], 4);
}

/// A push that nobody has seen is decided by the next listing, without a change: a push that waits
/// for it looks once more before it gives up.
#[tokio::test(start_paused = true)]
async fn a_push_that_a_listing_decides_is_in_nobodys_way() {
    let world = World::new().await;
    world.put("/api/v1/deployments/d", deployment("d", "shop")).await.is(201);
    let stored = world.store.memory.get("deployments/d").await.unwrap().unwrap();
    let mut staged: Value = serde_json::from_slice(&stored.value).unwrap();
    let mut intent = staged.clone();
    intent["push"] = json!("p");
    intent["since"] = json!(stored.mod_revision);
    staged["intent"] = intent;
    let at = world.store(&Key::Deployment(name("d")), &staged).await;
    world.cache.wait_for(at, Duration::from_secs(1)).await.unwrap();
    assert!(!world.cache.position().is_live, "it lists anew");
    let mine = with(deployment("d", "shop"), "labels", json!({ "tag": "mine" }));
    let reply = apply(&world, "", &[mine]).await.is(200);
    assert_eq!(outcomes(&reply), ["d replaced 2"]);
}

/// Pushes at once of the same bundle and of two that want the same documents: one after the other.
#[tokio::test(start_paused = true)]
async fn pushes_at_once() {
    let memory = Arc::new(MemoryStore::default());
    let (one, two) = (replica(&memory).await, replica(&memory).await);
    let (_watching, _) = watch(&two, MANY);
    for bundles in [["?bundle=a", "?bundle=a"], ["?bundle=a&force=true", "?bundle=b&force=true"]] {
        let (ones, twos) = (documents(MANY, "one"), documents(MANY, "two"));
        let (first, second) =
            tokio::join!(apply(&one, bundles[0], &ones), apply(&two, bundles[1], &twos));
        for reply in [&first, &second] {
            assert!(matches!(reply.status.as_u16(), 200 | 409), "{:?}", reply.body);
        }
        assert!(first.status == 200 || second.status == 200);
        let shown = tag(&two).await.unwrap();
        assert!(["one", "two"].contains(&shown.as_str()));
        assert_eq!((n_pushes(&one).await, n_intents(&one).await), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn five_thousand_documents() {
    let world = World::new().await;
    let all = documents(4999, "one");
    let reply = apply(&world, "?bundle=big", &all).await.is(200);
    assert_eq!(outcomes(&reply).len(), 5000);
    let before = world.store.n_txns.load(Ordering::SeqCst);
    // One document that changes among all of them is one transaction.
    let mut changed = all.clone();
    changed[77]["labels"]["tag"] = json!("other");
    let reply = apply(&world, "?bundle=big&prune=true", &changed).await.is(200);
    assert_eq!(outcomes(&reply).iter().filter(|o| o.contains("replaced")).count(), 1);
    assert_eq!(world.store.n_txns.load(Ordering::SeqCst), before + 1);
}

/// With a store that takes less at once, what else is one transaction goes by intents: nobody sees a
/// part of it then either.
#[tokio::test(start_paused = true)]
async fn a_store_that_takes_less_at_once() {
    const N: usize = 40;
    for (max_txn_ops, is_staged) in [(None, false), (Some(24), true)] {
        let store = FaultyStore { max_txn_ops, ..FaultyStore::default() };
        let world = World::over(Arc::new(store), Limits::default());
        world.cache.filled().await;
        let (_watching, _) = watch(&world, N);
        for (tag, want) in [("one", "created 1"), ("two", "replaced 2")] {
            let before = world.store.n_txns.load(Ordering::SeqCst);
            let reply = apply(&world, "?bundle=b", &documents(N, tag)).await.is(200);
            assert!(outcomes(&reply).iter().all(|outcome| outcome.ends_with(want)), "{reply:?}");
            let n_txns = world.store.n_txns.load(Ordering::SeqCst) - before;
            assert_eq!(n_txns > 2, is_staged, "{n_txns} transactions for {max_txn_ops:?}");
            assert_eq!((n_pushes(&world).await, n_intents(&world).await), (0, 0));
        }
        // A document alone, with what goes with it, is still one transaction, or refused.
        let inline: Vec<Value> =
            (0..N).map(|n| json!({"key": format!("i{n}"), "class_key": "Cart"})).collect();
        let large = with(package("large"), "deployments", json!(inline));
        let reply = world.put("/api/v1/packages/large", large).await;
        match is_staged {
            true => drop(reply.refused(413, "transaction_too_large")),
            false => drop(reply.is(201)),
        }
        world.delete("/api/v1/packages/shop?cascade=true").await.is(202);
        assert!(world.meta("deployments/d0039").await.unwrap().is_deleting());
    }
}

/// A store that was restored from a snapshot of the middle of a push has its key, and not all of its
/// intents: it is not committed, but begun again.
#[tokio::test(start_paused = true)]
async fn a_push_that_was_forgotten_in_part_is_not_committed() {
    let world = replica(&Arc::new(MemoryStore::default())).await;
    // The push's key, three batches of intents; then it would be committed.
    world.store.fault_in.store(4, Ordering::SeqCst);
    *world.store.fault.lock() = Some(Fault::Forgets("deployments/d0230"));
    apply(&world, "?bundle=b", &documents(MANY, "one")).await.is(200);
    assert!(world.store.fault.lock().is_none(), "it has struck");
    for key in ["d0000", "d0229", "d0231", "d0259"] {
        let got = world.get(&format!("/api/v1/deployments/{key}")).await.is(200).json();
        assert_eq!(got["labels"]["tag"], "one");
    }
}
