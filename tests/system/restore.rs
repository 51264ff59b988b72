//! Stores that were put back from a backup, and installations that share a CRM.

use std::{fs, path::Path, time::Duration};

use oprc_cp_storage::testing::{EtcdConfig, EtcdProcess};
use serde_json::Value;

use crate::support::{
    Backend, Mode, QUIET, World, document, eventually, eventually_within, free_port, run,
    world::package,
};

const EDGE: &[&str] = &["edge-1"];

/// The longest that `recover` takes: it waits for a leader that may have been stopped a moment ago.
const RECOVERY: Duration = Duration::from_secs(120);

/// The condition `type` of a cluster's status.
fn condition<'a>(status: &'a Value, r#type: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == r#type)
}

fn is_refused(status: &Value) -> bool {
    condition(status, "Fenced").is_some_and(|fenced| fenced["reason"] == "TermTooOld")
}

/// What CRMs see after the backup: newer terms, newer generations and a further deployment.
async fn go_on(world: &mut World) {
    for _ in 0..3 {
        world.restart(0);
        world.is_ready(0).await;
        world.put_deployment("late", EDGE).await;
        world.runs_on("late", EDGE).await;
    }
    world.put_package("2.0.0").await;
    world.runs_on("cart", EDGE).await;
}

/// The restored store is refused; what the cluster runs, and the cluster's status, say the truth.
async fn is_refused_and_says_so(world: &mut World) {
    world.restart(0);
    world.is_ready(0).await;
    // It is refused, and heard from all the same.
    let is_heard = |status: &Value| is_refused(status) && status["connectivity"] == "CONNECTED";
    let status = world.cluster_is("edge-1", is_heard).await;
    let message = condition(&status, "Fenced").unwrap()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("oprc-pm recover"), "{message}");
    let cart = world.status("cart").await;
    assert_ne!(cart["condition"], "DOWN", "{cart}");
    world.pms[0].process.kill();
}

/// One command, and all goes on.
async fn is_recovered(world: &mut World) {
    let recovered = run("oprc-pm", &["recover"], &world.variables(free_port()), RECOVERY).await;
    let (out, err) = (recovered.stdout, recovered.stderr);
    let (out, err) = (String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
    assert!(recovered.status.success(), "{out}{err}");
    assert!(out.contains("edge-1 has seen term "), "{out}");
    world.restart(0);
    world.is_ready(0).await;
    world.runs_on("cart", EDGE).await;
    // What was made after the backup has no unit in it.
    eventually("the orphan is gone", || async {
        let record = world.cluster("edge-1").record_of("late").await;
        if record.is_none() { Ok(()) } else { Err(record) }
    })
    .await;
    world.put_deployment("new", EDGE).await;
    world.runs_on("new", EDGE).await;
    world.cluster_is("edge-1", |status| !is_refused(status)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_that_was_put_back_is_recovered() {
    let mut world = World::start(Backend::Embedded, EDGE).await;
    world.put_package("1.0.0").await;
    world.put_deployment("cart", EDGE).await;
    world.runs_on("cart", EDGE).await;
    world.pms[0].process.kill();
    let (file, backup) = (world.data_dir().join("pm.db"), world.folder.path().join("backup"));
    fs::copy(&file, &backup).unwrap();
    go_on(&mut world).await;
    world.pms[0].process.kill();
    fs::copy(&backup, &file).unwrap();
    is_refused_and_says_so(&mut world).await;
    is_recovered(&mut world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_snapshot_is_restored_and_recovered() {
    // With the tools of its release beside it.
    let Some(program) = EtcdProcess::newer() else { return };
    if !program.with_file_name("etcdutl").is_file() {
        eprintln!("skipped: there is no etcdutl beside {}", program.display());
        return;
    }
    let mut world = World::without_pm(Backend::Embedded, EDGE).await;
    let config = EtcdConfig { program: Some(program), ..EtcdConfig::default() };
    world.etcd = Some(EtcdProcess::start(config).await);
    world.add_pm().await;
    world.put_package("1.0.0").await;
    world.put_deployment("cart", EDGE).await;
    world.runs_on("cart", EDGE).await;
    let snapshot = world.folder.path().join("snapshot.db");
    world.etcd.as_ref().unwrap().save_snapshot(&snapshot);
    go_on(&mut world).await;
    world.pms[0].process.kill();
    world.etcd.as_mut().unwrap().restore_snapshot(&snapshot).await;
    is_refused_and_says_so(&mut world).await;
    is_recovered(&mut world).await;
}

/// Runs `recover` on `folder`, which must be refused with `why`.
async fn check_refused(world: &World, folder: &Path, why: &str) {
    let mut variables = world.variables(free_port());
    variables.retain(|(name, _)| name != "OPRC_PM_DATA_DIR");
    variables.push(("OPRC_PM_DATA_DIR".to_owned(), folder.to_str().unwrap().to_owned()));
    let refused = run("oprc-pm", &["recover"], &variables, RECOVERY).await;
    let err = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{err}");
    assert!(err.contains(why), "{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recovery_is_refused_while_the_installation_runs() {
    let mut world = World::start(Backend::Embedded, EDGE).await;
    world.put_package("1.0.0").await;
    world.put_deployment("cart", EDGE).await;
    world.runs_on("cart", EDGE).await;
    let copy = world.folder.path().join("copy");
    check_refused(&world, &copy, "there is no store").await;
    world.pms[0].process.kill();
    fs::create_dir(&copy).unwrap();
    fs::copy(world.data_dir().join("pm.db"), copy.join("pm.db")).unwrap();
    world.restart(0);
    world.is_ready(0).await;
    check_refused(&world, &copy, "cluster edge-1 heard installation oprc-pm/").await;
    check_refused(&world, &world.data_dir(), "is in use by another process").await;
    // Nothing has changed for the one that runs.
    world.put_package("2.0.0").await;
    world.runs_on("cart", EDGE).await;
    world.cluster_is("edge-1", |status| !is_refused(status)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_installations_with_one_name_leave_each_other_alone() {
    let mut world = World::start(Backend::Embedded, EDGE).await;
    world.put_package("1.0.0").await;
    world.put_deployment("cart", EDGE).await;
    world.runs_on("cart", EDGE).await;
    // By mistake: another store, all else the same.
    let other = world.folder.path().join("other");
    world.set("OPRC_PM_DATA_DIR", other.to_str().unwrap());
    world.add_pm().await;
    let theirs = &world.pms[1].api;
    assert!(theirs.put("/api/v1/packages/shop", &package("1.0.0")).await.status.is_success());
    let pushed = theirs.put("/api/v1/deployments/theirs", &document("theirs", EDGE)).await;
    assert!(pushed.status.is_success(), "{pushed:?}");
    eventually("theirs runs", || async {
        let status = theirs.get("/api/v1/deployment-status/theirs").await;
        if status.body["condition"] == "RUNNING" { Ok(()) } else { Err(status.body) }
    })
    .await;
    // Both list anew.
    let edge = world.cluster("edge-1");
    edge.set_mode(Mode::Closed);
    edge.set_mode(Mode::Up);
    let mut named = Vec::new();
    for pm in &world.pms {
        let within = Duration::from_secs(60);
        let message = eventually_within(within, "the cluster is shared", || async {
            let cluster = pm.api.get("/api/v1/clusters/edge-1").await.body["status"].clone();
            let shared = condition(&cluster, "Shared").map(|shared| shared["message"].clone());
            let message = shared.as_ref().and_then(Value::as_str).map(str::to_owned);
            message.ok_or(cluster)
        });
        named.push(message.await);
    }
    for message in &named {
        assert_eq!(message.matches("oprc-pm/").count(), 2, "both are named: {message}");
    }
    tokio::time::sleep(QUIET).await;
    let records = edge.records().await;
    let of: Vec<_> = records.values().map(|record| record["deployment_key"].clone()).collect();
    assert_eq!(of.len(), 2, "{of:?}");
    assert_eq!(edge.effects().len(), 2, "each its own, and nothing else: {:?}", edge.effects());
    world.runs_on("cart", EDGE).await;
}
