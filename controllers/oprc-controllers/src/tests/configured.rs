//! A registered cluster that the configuration no longer names: it is not called, it takes nothing
//! new, and its status says so.

use oprc_models::{
    cluster::Connectivity,
    condition::{Truth, find},
    record::RunCondition,
};

use super::{
    World,
    crm::{ALL, SimulatedCrm},
};

#[tokio::test(start_paused = true)]
async fn cluster_without_configuration_is_not_called_and_takes_nothing_new() {
    let (east, west) = (SimulatedCrm::new("east", ALL), SimulatedCrm::new("west", ALL));
    let mut world = World::start(&[east.clone(), west.clone()]).await;
    world.put_package(1, "shop:1").await;
    world.put_many("u1", 1, "on-east", &["east"]).await;
    world.running("on-east", 1).await;

    let removed = world.crms.remove("east").unwrap();
    let (n_calls, n_probes) = {
        let inner = east.inner.lock();
        (inner.n_calls, inner.n_probes)
    };
    world.begin_term().await;
    world
        .eventually(60, "not configured", |world| {
            let state = world.cache.read();
            let status = &state.cluster_statuses["east"].value;
            status.connectivity == Connectivity::NotConfigured
                && find(&status.conditions, "Ready")
                    .is_some_and(|it| it.status == Truth::False && it.reason == "NotConfigured")
        })
        .await;
    world.put_many("u2", 1, "anywhere", &[]).await;
    world.running("anywhere", 1).await;
    assert!(world.units("anywhere").contains_key("west"), "east has fewer units, and takes none");
    world.put_many("u3", 1, "also-east", &["east", "west"]).await;
    world
        .eventually(60, "rejected", |world| {
            let status = world.status("also-east");
            status.is_some_and(|it| it.conditions[0].reason == "ClusterNotConfigured")
        })
        .await;
    assert_eq!(world.units("also-east").keys().collect::<Vec<_>>(), ["west"]);
    // What it held is not known any more, and stays.
    assert_eq!(world.status("on-east").unwrap().condition, RunCondition::Unknown);
    assert!(world.units("on-east").contains_key("east"));
    world.quiet().await;
    {
        let inner = east.inner.lock();
        assert_eq!((inner.n_calls, inner.n_probes), (n_calls, n_probes), "it is not called");
    }

    world.crms.insert(removed.cluster.clone(), removed);
    world.begin_term().await;
    world.running("on-east", 1).await;
    world.running("also-east", 1).await;
    world.quiet().await;
}
