//! Clusters that ask who calls, have several addresses, or are not who they should be.

use std::fs;

use crate::support::{Backend, Cluster, Mode, World, eventually};

/// A CRM that wants the token `right`, and no Package Manager yet.
async fn guarded() -> World {
    let mut world = World::without_pm(Backend::Embedded, &["edge-1"]).await;
    let cluster = Cluster::start_with("edge-2", &[("OPRC_CRM_TOKEN", "right")]).await;
    world.clusters.insert("edge-2".to_owned(), cluster);
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_replaced_is_used_without_a_restart() {
    let mut world = guarded().await;
    let file = world.folder.path().join("token");
    fs::write(&file, "wrong\n").unwrap();
    world.set("OPRC_PM_CRM_EDGE_2_TOKEN_FILE", file.to_str().unwrap());
    world.add_pm().await;
    world.put_package("1.0.0").await;
    world.put_deployment("cart", &["edge-1", "edge-2"]).await;
    let status = world.cluster_is("edge-2", |it| it["connectivity"] == "UNAUTHORIZED").await;
    assert!(!status.to_string().contains("wrong"), "a secret is not shown: {status}");
    world.put_deployment("near", &["edge-1"]).await;
    world.runs_on("near", &["edge-1"]).await;
    assert_eq!(world.cluster("edge-2").effects(), []);

    fs::write(&file, "right\n").unwrap();
    world.cluster_is("edge-2", |status| status["connectivity"] == "CONNECTED").await;
    eventually("runs on both", || async {
        let status = world.status("cart").await;
        if status["condition"] == "RUNNING" { Ok(()) } else { Err(status) }
    })
    .await;
    assert_eq!(world.cluster("edge-2").effects().len(), 1);
    let log = world.pms[0].process.output();
    assert!(!log.contains("wrong") && !log.contains("Bearer"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crm_is_reached_at_whichever_of_its_addresses_answers() {
    let mut world = World::without_pm(Backend::Embedded, &["edge-1"]).await;
    // The same CRM behind a second proxy.
    let second = crate::support::Proxy::start(world.cluster("edge-1").api().url).await;
    let both = format!("{},{}", world.cluster("edge-1").url(), second.url());
    world.set("OPRC_PM_CRM_EDGE_1_URL", &both);
    world.add_pm().await;
    world.put_package("1.0.0").await;
    world.put_deployment("a", &["edge-1"]).await;
    world.runs_on("a", &["edge-1"]).await;
    assert_eq!(world.cluster("edge-1").effects().len(), 1, "the first address comes first");

    world.cluster("edge-1").set_mode(Mode::Closed);
    world.put_deployment("b", &["edge-1"]).await;
    world.runs_on("b", &["edge-1"]).await;
    assert_eq!(second.effects().len(), 1);

    second.set_mode(Mode::Closed);
    world.cluster("edge-1").set_mode(Mode::Up);
    world.put_deployment("c", &["edge-1"]).await;
    world.runs_on("c", &["edge-1"]).await;
    assert_eq!(world.cluster("edge-1").effects().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crm_of_another_cluster_is_sent_nothing() {
    let mut world = World::without_pm(Backend::Embedded, &["edge-1"]).await;
    let wrong = Cluster::start("elsewhere").await;
    wrong.insert("theirs", "oprc-pm").await;
    world.set("OPRC_PM_CRM_EDGE_2_URL", &wrong.url());
    world.add_pm().await;
    world.put_package("1.0.0").await;
    world.put_deployment("cart", &["edge-1", "edge-2"]).await;
    let status = world.cluster_is("edge-2", |it| it["connectivity"] == "MISIDENTIFIED").await;
    assert!(status["message"].as_str().unwrap().contains("elsewhere"), "{status}");
    world.put_deployment("near", &["edge-1"]).await;
    world.runs_on("near", &["edge-1"]).await;
    let status = world.status("cart").await;
    assert_ne!(status["condition"], "RUNNING", "{status}");
    assert_eq!(wrong.n_calls(), 0, "nothing was sent to it");
    assert_eq!(wrong.records().await.len(), 1);
}
