//! A store that is out of reach, and one that starts again.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Api, Backend, World, check_problem, eventually};

const BOTH: &[&str] = &["edge-1", "edge-2"];
/// The store's timeout in these tests.
const TIMEOUT_SECS: u64 = 2;

async fn world() -> World {
    let mut world = World::without_pm(Backend::Etcd, BOTH).await;
    world.set("OPRC_PM_ETCD_TIMEOUT_SECS", &TIMEOUT_SECS.to_string());
    world.add_pm().await;
    world.put_package("1.0.0").await;
    world.put_deployment("cart", BOTH).await;
    world.runs_on("cart", BOTH).await;
    world
}

async fn is_not_ready(api: &Api) {
    eventually("not ready", || async {
        let answer = api.get("/readyz").await;
        if answer.status == 503 { Ok(()) } else { Err(answer) }
    })
    .await;
}

/// Writes are refused in time, cached reads go on and say that they are stale.
async fn is_cut_off(api: &Api) {
    let began = Instant::now();
    let written =
        api.put("/api/v1/deployments/late", &crate::support::document("late", BOTH)).await;
    let took = began.elapsed();
    assert_eq!(written.status, 503, "{written:?}");
    assert!(written.headers.contains_key("retry-after"), "{written:?}");
    let code = written.body["code"].as_str().unwrap_or_default();
    assert!(["unavailable", "maybe_done", "timeout"].contains(&code), "{written:?}");
    // Its own timeout, and that of reading what is there.
    assert!(took < Duration::from_secs(3 * TIMEOUT_SECS), "{took:?}");
    is_not_ready(api).await;

    let cached = api.get("/api/v1/deployments/cart?consistency=cached").await;
    assert_eq!(cached.status, 200, "{cached:?}");
    assert_eq!(cached.headers.get("oprc-stale").map(|it| it.as_bytes()), Some(&b"true"[..]));
    let listed = api.get("/api/v1/deployments?consistency=cached").await;
    assert_eq!(listed.body["stale"], true, "{listed:?}");
    let read = api.get("/api/v1/deployments/cart").await;
    assert_eq!(read.status, 503, "a read that cannot be fresh is refused: {read:?}");
    assert!(read.headers.contains_key("retry-after"), "{read:?}");
    assert_eq!(api.get("/livez").await.status, 200);
}

/// All is as before, and what is pushed now runs.
async fn is_back(world: &World) {
    world.is_ready(0).await;
    world.put_deployment("late", BOTH).await;
    world.runs_on("late", BOTH).await;
    world.runs_on("cart", BOTH).await;
    let read = world.api().get("/api/v1/deployments/cart").await;
    assert!(!read.headers.contains_key("oprc-stale"), "{read:?}");
    for cluster in world.clusters.values() {
        assert_eq!(cluster.effects().len(), 2, "{:?}", cluster.effects());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stands_still_stops_writes_and_not_reads() {
    if crate::support::lacks_etcd() {
        return;
    }
    let world = world().await;
    let etcd = world.etcd.as_ref().unwrap();
    etcd.pause(0);
    is_cut_off(world.api()).await;
    etcd.resume(0);
    is_back(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_gone_for_a_while_is_found_again() {
    if crate::support::lacks_etcd() {
        return;
    }
    let mut world = world().await;
    world.etcd.as_mut().unwrap().kill(0);
    is_cut_off(world.api()).await;
    world.etcd.as_mut().unwrap().restart(0).await;
    is_back(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_not_there_at_start_up_is_told() {
    if crate::support::lacks_etcd() {
        return;
    }
    let mut world = World::without_pm(Backend::Etcd, BOTH).await;
    world.set("OPRC_PM_ETCD_TIMEOUT_SECS", "1");
    world.etcd.as_mut().unwrap().kill(0);
    let log = world.folder.path().join("pm.log");
    let variables = world.variables(crate::support::free_port());
    let mut process = crate::support::Process::start("oprc-pm", &variables, &log);
    let status = process.ended().await;
    assert_eq!(status.code(), Some(1));
    let output = process.output();
    assert!(output.contains("oprc-pm: cannot connect to etcd"), "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_file_is_told_and_not_overwritten() {
    let mut world = World::start(Backend::Embedded, BOTH).await;
    world.put_package("1.0.0").await;
    world.pms[0].process.kill();
    let file = world.data_dir().join("pm.db");
    let whole = std::fs::read(&file).unwrap();
    let mut torn = whole.clone();
    torn[..4096].fill(0x5a);
    std::fs::write(&file, &torn).unwrap();
    world.restart(0);
    let status = world.pms[0].process.ended().await;
    assert_eq!(status.code(), Some(1));
    assert!(std::fs::read(&file).unwrap() == torn, "the file was written to");
    // With the file as it was, so is everything.
    std::fs::write(&file, whole).unwrap();
    world.restart(0);
    world.is_ready(0).await;
    assert_eq!(world.api().get("/api/v1/packages/shop").await.status, 200);
}

/// Another's document is never shown as ours: the problem has its own code, and names the document.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_cannot_be_read_is_told_and_left_alone() {
    if crate::support::lacks_etcd() {
        return;
    }
    let world = world().await;
    let mut etcd = world.etcd_client().await;
    let key = "/oaas/pm/deployments/broken";
    etcd.put(key, "{not json", None).await.unwrap();
    eventually("told", || async {
        let answer = world.api().get("/api/v1/deployments/broken").await;
        if answer.status == 500 { Ok(answer) } else { Err(answer) }
    })
    .await;
    let written = world
        .api()
        .put("/api/v1/deployments/broken", &crate::support::document("broken", BOTH))
        .await;
    check_problem(&written, 409, "unreadable_object");
    world.put_deployment("late", BOTH).await;
    world.runs_on("late", BOTH).await;
    let found = etcd.get(key, None).await.unwrap();
    assert_eq!(found.kvs()[0].value(), b"{not json");
}
