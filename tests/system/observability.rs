//! What the programs say about themselves: metrics, log lines and the correlation id of a write.

use std::{
    env,
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{Api, Backend, Process, World, document, eventually, free_port};

/// Has Prometheus' own checker read `metrics`. Without one, says that it is skipped.
fn check_metrics(program: &str, metrics: &str) {
    let Some(promtool) = env::var_os("OPRC_TEST_PROMTOOL") else {
        eprintln!("skipped: OPRC_TEST_PROMTOOL names no promtool");
        return;
    };
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let done = check.wait_with_output().unwrap();
    let told = [done.stdout, done.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(done.status.success() && told.trim().is_empty(), "{program}: {told}");
}

async fn metrics(api: &Api) -> String {
    let answer = api.get("/metrics").await;
    assert_eq!(answer.status, 200);
    answer.body.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_as_prometheus_wants_them() {
    let world = World::start(Backend::Embedded, &["edge-1"]).await;
    world.put_package("1.0.0").await;
    world.put_deployment("cart", &["edge-1", "nowhere"]).await;
    let refused = world.api().put("/api/v1/packages/shop", &json!({})).await;
    assert!(refused.status.is_client_error(), "{refused:?}");
    let pm = eventually("counted", || async {
        let text = metrics(world.api()).await;
        let is_there = text.contains("oprc_pm_deployments{condition=\"PENDING\"} 1")
            && text.contains("oprc_pm_clusters{health=\"HEALTHY\"} 1");
        if is_there { Ok(text) } else { Err(text) }
    })
    .await;
    assert!(pm.contains("# TYPE process_cpu_seconds_total counter"), "{pm}");
    check_metrics("oprc-pm", &pm);
    let port = free_port();
    let settings = [
        ("OPRC_CRM_CLUSTER_NAME", "edge-2".to_owned()),
        ("OPRC_CRM_HOST", "127.0.0.1".to_owned()),
        ("OPRC_CRM_PORT", port.to_string()),
        ("OPRC_CRM_STORAGE_TYPE", "memory".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let _crm = Process::start("oprc-crm", &settings, &world.folder.path().join("crm.log"));
    let crm = Api::new(format!("http://127.0.0.1:{port}"));
    eventually("ready", || crm.is_ok("/readyz")).await;
    crm.get("/api/v1/deployment-records").await;
    check_metrics("oprc-crm", &metrics(&crm).await);
}

/// The lines of the first Package Manager's log with this correlation id, by message.
fn lines_of(world: &World, correlation_id: &str) -> Vec<Value> {
    let log = std::fs::read_to_string(world.folder.path().join("pm-0.log")).unwrap();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let is_of = |line: &Value| {
        line["correlation_id"] == correlation_id || line["span"]["correlation_id"] == correlation_id
    };
    lines.filter(is_of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn correlation_id_of_a_write_reaches_all_that_follows_from_it() {
    let mut world = World::without_pm(Backend::Embedded, &["edge-1"]).await;
    world.set("OPRC_PM_LOG_FORMAT", "json");
    world.add_pm().await;
    let put = |path: &str, id: &str, body: Value| {
        let request = world.api().request(reqwest::Method::PUT, path);
        Api::send(request.header("x-correlation-id", id.to_owned()).json(&body))
    };
    world.put_package("1.0.0").await;
    let answer = put("/api/v1/deployments/cart", "push-1", document("cart", &["edge-1"])).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    world.runs_on("cart", &["edge-1"]).await;
    let sent = |id: &'static str| {
        let world = &world;
        eventually("told", move || async move {
            let answer = world.api().get("/api/v1/events?about=deployment/cart").await;
            let events = answer.body["items"].as_array().cloned().unwrap_or_default();
            let is_it = |event: &&Value| event["reason"] == "Sent" && event["correlation_id"] == id;
            events.iter().find(is_it).cloned().ok_or(answer.body)
        })
    };
    let event = sent("push-1").await;
    assert_eq!(event["uid"], answer.body["meta"]["uid"], "{event}");
    // A write of the package alone.
    let package = world.api().get("/api/v1/packages/shop").await.body;
    let mut package = package.as_object().cloned().unwrap();
    package.retain(|field, _| !matches!(field.as_str(), "meta" | "status"));
    package.insert("version".to_owned(), json!("2.0.0"));
    let answer = put("/api/v1/packages/shop", "push-2", Value::Object(package)).await;
    assert!(answer.status.is_success(), "{answer:?}");
    sent("push-2").await;
    for (id, generation) in [("push-1", 1), ("push-2", 2)] {
        let calls = world.cluster("edge-1").correlation_ids();
        assert!(calls.contains(&id.to_owned()), "{id} is not among {calls:?}");
        let lines = lines_of(&world, id);
        for message in ["unit planned", "applying unit"] {
            let line = lines.iter().find(|line| line["message"] == message);
            let line = line.unwrap_or_else(|| panic!("{id}: no {message:?} in {lines:#?}"));
            assert_eq!(line["generation"], generation, "{line}");
        }
    }
    let answer = Api::send(
        world
            .api()
            .request(reqwest::Method::DELETE, "/api/v1/deployments/cart")
            .header("x-correlation-id", "removal-1"),
    )
    .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    world.is_gone("cart").await;
    assert!(world.cluster("edge-1").correlation_ids().contains(&"removal-1".to_owned()));
    let lines = lines_of(&world, "removal-1");
    assert!(lines.iter().any(|line| line["message"] == "deleting unit"), "{lines:#?}");
}
