//! Changes that a watch loses without a sign.

use std::time::Duration;

use oprc_cp_storage::{Op, Precondition, Store, Txn, Write};
use oprc_models::push::Fate;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{PATIENCE, World, faulty::FaultyStore};

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
    world.cache.doubt(std::slice::from_ref(&key));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.cache.n_missed(), 1);
    assert!(!shown(&world));

    // And what was lost of what was made.
    world.store.set_losing(true);
    let put = write(Precondition::Absent, Op::Put("{}".into()));
    world.store.txn(put).await.unwrap();
    world.caught_up().await;
    world.store.set_losing(false);
    world.cache.doubt(std::slice::from_ref(&key));
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

/// Seed 219418 of the simulation: a push whose key a watch had lost was taken for aborted, and its
/// pusher removed the documents that it had just written.
#[tokio::test(start_paused = true)]
async fn a_push_that_a_watch_lost_is_not_taken_for_aborted() {
    let world = World::start(FaultyStore::default());
    world.caught_up().await;
    let time = "1970-01-01T00:00:00Z";
    let put = async |key: &str, value: serde_json::Value| {
        let before = world.store.get(key).await.unwrap();
        let precondition =
            before.map_or(Precondition::Absent, |it| Precondition::At(it.mod_revision));
        let op = Op::Put(value.to_string().into());
        let writes = vec![Write { key: key.to_owned(), precondition, op }];
        let at = world.store.txn(Txn { checks: Vec::new(), writes }).await.unwrap();
        world.cache.wait_for(at, PATIENCE).await.unwrap();
    };
    let push = |progress| json!({"progress": progress, "begun_at": time, "n_documents": 1});
    let id = "push-1".parse().unwrap();

    world.store.set_losing(true);
    put("pushes/push-1", push("PENDING")).await;
    world.store.set_losing(false);
    let meta = json!({"uid": "u", "generation": 1, "created_at": time, "updated_at": time});
    let spec = json!({"name": "p", "classes": [], "functions": []});
    let intent = json!({"push": "push-1", "since": 0, "meta": meta, "spec": spec});
    put("packages/p", json!({ "intent": intent })).await;
    assert_eq!(world.cache.read().fate(&id), Fate::Pending, "nothing is concluded");
    assert!(world.cache.read().settling(&id, 10, 1000).is_empty());
    // It lists anew before it follows again.
    assert!(!world.cache.position().is_live);
    world.caught_up().await;
    put("pushes/push-1", push("COMMITTED")).await;
    timeout(PATIENCE, async {
        while world.packages() != ["p"] {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("it is shown");
    assert_eq!(world.cache.read().fate(&id), Fate::Committed);
}
