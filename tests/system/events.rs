//! Events on a real etcd: told by the replica that leads, read from the other, gone with their lease.

use etcd_client::LeaseTimeToLiveOptions;
use serde_json::Value;

use crate::support::{Api, Backend, World, eventually};

/// The event of this reason about the deployment, as `api` tells it.
async fn told(api: &Api, reason: &str) -> Result<Value, Value> {
    let answer = api.get("/api/v1/events?about=deployment/cart").await;
    let items = answer.body["items"].as_array().cloned().unwrap_or_default();
    items.into_iter().find(|event| event["reason"] == reason).ok_or(answer.body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_shared_counted_and_gone_with_their_lease() {
    if crate::support::lacks_etcd() {
        return;
    }
    let mut world = World::start(Backend::Etcd, &["edge-1"]).await;
    world.add_pm().await;
    world.put_package("1.0.0").await;
    world.put_deployment("cart", &["edge-1"]).await;
    world.runs_on("cart", &["edge-1"]).await;
    // One of them leads and tells; both show it.
    for pm in &world.pms {
        let sent = eventually("told", || told(&pm.api, "Sent")).await;
        assert_eq!((&sent["severity"], &sent["count"]), (&"NORMAL".into(), &1.into()), "{sent}");
    }
    world.put_package("2.0.0").await;
    world.runs_on("cart", &["edge-1"]).await;
    for pm in &world.pms {
        let sent = eventually("counted", || async {
            let sent = told(&pm.api, "Sent").await?;
            if sent["count"] == 2 { Ok(sent) } else { Err(sent) }
        })
        .await;
        assert!(sent["message"].as_str().unwrap().contains("generation 2"), "{sent}");
        assert_ne!(sent["first"], sent["last"], "{sent}");
    }

    // Its key is under a lease that outlasts the hour for which it is kept, and by not much.
    let mut etcd = world.etcd_client().await;
    let found = etcd.get("/oaas/pm/events/deployment/cart", None).await.unwrap();
    let lease = found.kvs().first().expect("it is stored").lease();
    assert_ne!(lease, 0, "it is under a lease");
    let options = LeaseTimeToLiveOptions::new();
    let ttl = etcd.lease_time_to_live(lease, Some(options)).await.unwrap();
    assert!((3600..=4200).contains(&ttl.ttl()), "{ttl:?}");
    // What the lease's end does, without waiting for it.
    etcd.lease_revoke(lease).await.unwrap();
    for pm in &world.pms {
        eventually("gone", || async {
            match told(&pm.api, "Sent").await {
                Ok(event) => Err(event),
                Err(_) => Ok(()),
            }
        })
        .await;
    }
    // And what is told then begins anew, under another lease.
    world.put_package("3.0.0").await;
    world.runs_on("cart", &["edge-1"]).await;
    for pm in &world.pms {
        let sent = eventually("told anew", || told(&pm.api, "Sent")).await;
        assert_eq!(sent["count"], 1, "{sent}");
    }
}
