//! The ring keeps turning when a CRM does not do as it is told.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use oprc_cp_storage::keys::Key;
use oprc_models::{
    cluster::features,
    condition::{self, Truth},
    names::ClusterName,
    package::OPackage,
    record::RunCondition,
    status::ClusterPart,
};
use tokio::time::sleep;

use super::{
    World,
    crm::{ALL, Fault, SimulatedCrm, record_of},
    stored,
};

#[tokio::test(start_paused = true)]
async fn lost_answer_makes_nothing_second() {
    let east = SimulatedCrm::new("east", ALL);
    let world = World::start(std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    east.fail_next(Fault::AnswerLost);
    world.put_deployment("u1", 1, &["east"]).await;
    world.running("shop.cart", 1).await;
    east.fail_next(Fault::AnswerLost);
    world.delete_deployment("shop.cart").await;
    world.gone("shop.cart").await;
    world.quiet().await;
    assert_eq!(east.inner.lock().effects, ["create shop.cart 1", "delete shop.cart"]);
}

#[tokio::test(start_paused = true)]
async fn wiped_cluster_is_refilled() {
    let east = SimulatedCrm::new("east", ALL);
    let world = World::start(std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east"]).await;
    world.running("shop.cart", 1).await;
    east.wipe();
    world.eventually(60, "refilled", |_| east.inner.lock().effects.len() == 2).await;
    world.running("shop.cart", 1).await;
    world.quiet().await;
    assert_eq!(east.inner.lock().effects, ["create shop.cart 1", "create shop.cart 1"]);
}

#[tokio::test(start_paused = true)]
async fn orphan_is_deleted_and_stranger_is_left_alone() {
    let east = SimulatedCrm::new("east", ALL);
    let world = World::start(std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east"]).await;
    world.running("shop.cart", 1).await;
    let unit = world.units("shop.cart")["east"].unit.clone();
    let cluster: ClusterName = "east".parse().unwrap();
    for (id, owner) in [("orphan-1", "oprc-pm/i1"), ("stranger-1", "another")] {
        let mut record = record_of(&unit, &cluster);
        record.id = id.parse().unwrap();
        record.deployment_key = id.parse().unwrap();
        owner.clone_into(&mut record.owner);
        east.insert(record);
    }
    world
        .eventually(600, "orphan is gone", |_| !east.inner.lock().records.contains_key("orphan-1"))
        .await;
    world.quiet().await;
    assert!(east.inner.lock().records.contains_key("stranger-1"));
    let state = world.cache.read();
    assert_eq!(state.cluster_statuses["east"].value.unmanaged_records, 1);
    assert!(!state.records["east"]["stranger-1"].value.managed);
}

/// B12: a cluster that holds much of ours of which the store knows nothing is not emptied; once the
/// units that are wanted are the most, the rest goes.
#[tokio::test(start_paused = true)]
async fn many_orphans_are_held_until_most_units_are_wanted() {
    let east = SimulatedCrm::new("east", ALL);
    let world = World::start(std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east"]).await;
    world.running("shop.cart", 1).await;
    let unit = world.units("shop.cart")["east"].unit.clone();
    let cluster: ClusterName = "east".parse().unwrap();
    let orphans: Vec<String> = (0..8).map(|n| format!("orphan-{n}")).collect();
    let n_orphans = |east: &SimulatedCrm| {
        let records = &east.inner.lock().records;
        orphans.iter().filter(|id| records.contains_key(id.as_str())).count()
    };
    for id in &orphans {
        let mut record = record_of(&unit, &cluster);
        record.id = id.parse().unwrap();
        record.deployment_key = id.parse().unwrap();
        east.insert(record);
    }
    let is_held = |world: &World| {
        let state = world.cache.read();
        let status = &state.cluster_statuses["east"].value;
        condition::find(&status.conditions, "OrphansHeld").is_some()
    };
    world.eventually(600, "told", is_held).await;
    world.quiet().await;
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
    assert_eq!(n_orphans(&east), 8, "they are held, for as long as it takes");

    // Somebody says that three of them are not wanted: the rest is too few to be a lost store.
    for id in &orphans[..3] {
        let id = id.as_str();
        east.inner.lock().records.remove(id);
    }
    world.eventually(3600, "the rest is gone", |_| n_orphans(&east) == 0).await;
    world.eventually(600, "told", |world| !is_held(world)).await;
}

#[tokio::test(start_paused = true)]
async fn dead_cluster_delays_only_itself_and_delete_waits_for_it() {
    let (east, west) = (SimulatedCrm::new("east", ALL), SimulatedCrm::new("west", ALL));
    let mut world = World::start(&[east.clone(), west.clone()]).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east", "west"]).await;
    world.running("shop.cart", 1).await;
    west.set_dead(true);
    world.put_deployment("u1", 2, &["east", "west"]).await;
    world.put_package(2, "shop:2").await;
    world.eventually(1, "east is updated", |_| east.inner.lock().effects.len() == 2).await;
    world
        .eventually(60, "not running", |world| {
            world
                .status("shop.cart")
                .is_some_and(|status| status.condition == RunCondition::Unknown)
        })
        .await;
    world.delete_deployment("shop.cart").await;
    world.eventually(10, "east is emptied", |_| east.inner.lock().records.is_empty()).await;
    world.quiet().await;
    // A new leader knows as much.
    world.begin_term().await;
    world.quiet().await;
    assert!(world.cache.read().deployments.contains_key("shop.cart"), "it waits for west");
    assert!(world.units("shop.cart").contains_key("west"));
    west.set_dead(false);
    world.gone("shop.cart").await;
    assert!(west.inner.lock().records.is_empty());
}

#[tokio::test(start_paused = true)]
async fn refusal_is_told_and_not_repeated_at_once() {
    let east = SimulatedCrm::new("east", ALL);
    let world = World::start(std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    for _ in 0..3 {
        east.fail_next(Fault::Refused);
    }
    world.put_deployment("u1", 1, &["east"]).await;
    world
        .eventually(60, "refused", |world| {
            world.status("shop.cart").is_some_and(|status| {
                status.clusters.first().is_some_and(|part| {
                    part.reason == "Refused"
                        && part
                            .message
                            .as_deref()
                            .is_some_and(|said| said.contains("no such template"))
                })
            })
        })
        .await;
    world.running("shop.cart", 1).await;
}

/// A refused update is no outage: what ran goes on, and the status and the metrics tell the two apart.
#[tokio::test(start_paused = true)]
async fn refused_update_leaves_the_deployment_running() {
    let east = SimulatedCrm::new("east", ALL);
    let world = World::start(std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east"]).await;
    world.running("shop.cart", 1).await;
    for _ in 0..3 {
        east.fail_next(Fault::Refused);
    }
    world.put_package(2, "shop:2").await;
    let is_refused = |world: &World| {
        let status = world.status("shop.cart").unwrap();
        let part = &status.clusters[0];
        let progressing = condition::find(&status.conditions, "Progressing").unwrap();
        status.condition == RunCondition::Running
            && (part.generation, part.observed_generation) == (2, Some(1))
            && (progressing.status, progressing.reason.as_str()) == (Truth::False, "Refused")
    };
    world.eventually(60, "refused", is_refused).await;
    let counts = world.cache.read().status_counts().clone();
    assert_eq!((counts.running, counts.down, counts.refused), (1, 0, 1));
    world.running("shop.cart", 1).await;
    let is_taken = |world: &World| world.cache.read().status_counts().refused == 0;
    world.eventually(60, "taken at the next try", is_taken).await;
}

/// A CRM that knows no secrets would start the function without them.
#[tokio::test(start_paused = true)]
async fn a_unit_with_secrets_is_sent_only_to_who_knows_them() {
    let able = [ALL, &[features::SECRETS]].concat();
    let (east, west) = (SimulatedCrm::new("east", ALL), SimulatedCrm::new("west", &able));
    let world = World::start(&[Arc::clone(&east), Arc::clone(&west)]).await;
    let package = serde_json::from_value(serde_json::json!({
        "name": "shop",
        "classes": [{"key": "cart", "function_bindings": [
            {"name": "add", "function_key": "cart.add"}]}],
        "functions": [{"key": "cart.add", "provision_config": {"container_image": "shop:1"},
            "secrets": {"DB_PASSWORD": {"name": "db", "key": "password"}}}],
    }));
    let package: OPackage = package.unwrap();
    world.put(&Key::Package("shop".parse().unwrap()), &stored(1, package)).await;
    world.put_deployment("u1", 1, &["east", "west"]).await;
    world
        .eventually(60, "told", |world| {
            world.status("shop.cart").is_some_and(|status| {
                let said = |part: &&ClusterPart| {
                    part.message.as_deref().is_some_and(|said| said.contains("names secrets"))
                };
                status.clusters.iter().filter(said).count() == 1
            })
        })
        .await;
    world.eventually(60, "on west", |_| !west.inner.lock().records.is_empty()).await;
    assert!(east.inner.lock().effects.is_empty(), "nothing was sent to east");
}

#[tokio::test(start_paused = true)]
async fn recreated_deployment_waits_for_its_predecessor() {
    let east = SimulatedCrm::new("east", ALL);
    let world = World::start(std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east"]).await;
    world.running("shop.cart", 1).await;
    let before = world.units("shop.cart")["east"].unit.id.clone();
    world.put_deployment("u2", 2, &["east"]).await;
    world.running("shop.cart", 2).await;
    let after = world.units("shop.cart")["east"].unit.id.clone();
    assert_ne!(before, after, "incarnations have ids of their own");
    let effects = east.inner.lock().effects.clone();
    let verbs: Vec<_> = effects.iter().map(|effect| effect.split(' ').next().unwrap()).collect();
    assert_eq!(verbs, ["create", "delete", "create"], "{effects:?}");
}

#[tokio::test(start_paused = true)]
async fn thousand_units_behind_a_dead_cluster_heal_together() {
    let east = SimulatedCrm::new("east", ALL);
    let world = World::start(std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    world
        .eventually(60, "connected", |world| {
            world.cache.read().cluster_statuses.get("east").is_some_and(|e| e.value.is_connected())
        })
        .await;
    east.set_dead(true);
    for i in 0..1000 {
        world.put_many(&format!("u{i}"), 1, &format!("d{i}"), &["east"]).await;
    }
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    let wasted = {
        let inner = east.inner.lock();
        inner.n_calls + inner.n_probes
    };
    assert!(wasted <= 30, "{wasted} calls wasted");
    east.set_dead(false);
    world.eventually(2, "all there", |_| east.inner.lock().records.len() == 1000).await;
}

#[tokio::test(start_paused = true)]
async fn crm_without_watch_or_generations_works_too() {
    let east = SimulatedCrm::new("east", &[]);
    let world = World::start(std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    east.fail_next(Fault::Timeout);
    world.put_deployment("u1", 1, &["east"]).await;
    world.running("shop.cart", 1).await;
    world.delete_deployment("shop.cart").await;
    world.gone("shop.cart").await;
}

/// B9: a registration that was damaged is reported, and nothing moves because of it.
#[tokio::test(start_paused = true)]
async fn unreadable_registration_moves_nothing() {
    let (east, west) = (SimulatedCrm::new("east", ALL), SimulatedCrm::new("west", ALL));
    let world = World::start(&[east.clone(), west.clone()]).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &[]).await;
    world.running("shop.cart", 1).await;
    let key = oprc_cp_storage::keys::Key::Cluster("east".parse().unwrap());
    world.put(&key, &"damaged").await;
    world.put_package(2, "shop:2").await;
    world.quiet().await;
    world.running("shop.cart", 1).await;
    assert_eq!(east.inner.lock().effects, ["create shop.cart 1", "update shop.cart 2"]);
    assert!(world.cache.read().unreadable.contains_key(&key));
    assert_eq!(world.units("shop.cart").into_keys().collect::<Vec<_>>(), ["east"]);
    assert!(west.inner.lock().effects.is_empty());
}

#[tokio::test(start_paused = true)]
async fn agent_that_panics_is_replaced() {
    let east = SimulatedCrm::new("east", ALL);
    let world = World::start(std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east"]).await;
    world.running("shop.cart", 1).await;
    east.inner.lock().is_poisonous = true;
    world.eventually(60, "it panicked", |_| !east.inner.lock().is_poisonous).await;
    world.put_package(2, "shop:2").await;
    world.eventually(60, "updated all the same", |_| east.inner.lock().effects.len() == 2).await;
    world.running("shop.cart", 1).await;
}

#[tokio::test(start_paused = true)]
async fn what_another_hand_wrote_over_our_words_is_put_right() {
    let east = SimulatedCrm::new("east", ALL);
    let world = World::start(std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east"]).await;
    world.running("shop.cart", 1).await;
    world.quiet().await;
    let words = |world: &World| {
        let state = world.cache.read();
        let status = Arc::clone(&state.deployment_statuses["shop.cart"].value);
        let package = Arc::clone(&state.package_statuses["shop"].value);
        let cluster = Arc::clone(&state.cluster_statuses["east"].value);
        let records: BTreeMap<_, _> = state.records["east"]
            .iter()
            .map(|(id, entry)| (id.clone(), Arc::clone(&entry.value)))
            .collect();
        (status, package, cluster, records)
    };
    let ((status, package, cluster, records), before) =
        (words(&world), world.store.head().await.unwrap());
    let mut old = (*status).clone();
    old.condition = RunCondition::Pending;
    old.clusters.clear();
    world.put(&Key::DeploymentStatus("shop.cart".parse().unwrap()), &old).await;
    let mut old = (*package).clone();
    old.observed_generation = 0;
    world.put(&Key::PackageStatus("shop".parse().unwrap()), &old).await;
    let mut old = (*cluster).clone();
    old.unmanaged_records = 7;
    world.put(&Key::ClusterStatus("east".parse().unwrap()), &old).await;
    let id = records.keys().next().unwrap().clone();
    world.remove(&Key::Record("east".parse().unwrap(), id)).await;
    sleep(Duration::from_secs(3)).await;
    let (status_now, package_now, cluster_now, records_now) = words(&world);
    assert_eq!((status_now, package_now, cluster_now), (status, package, cluster));
    // A record is as before but for when it was first seen.
    assert_eq!(records_now.keys().collect::<Vec<_>>(), records.keys().collect::<Vec<_>>());
    assert!(world.store.head().await.unwrap() > before);
    world.quiet().await;
    assert_eq!(east.inner.lock().effects, ["create shop.cart 1"], "no call was made for it");
}
