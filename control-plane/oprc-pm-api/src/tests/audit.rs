//! The audit log: a line for each write, and no secret in any.

use std::{path::PathBuf, time::Duration};

use axum::body::Body;
use http::{Method, Request};
use oprc_observability::{Lines, LinesGuard, Loss, Target};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::world::{Fault, World, deployment, package, with};
use crate::{Door, Limits, Peer, Rate, Rates, call::Subject};

/// A replica that tells its writes.
struct Told {
    world: World,
    path: PathBuf,
    guard: Option<LinesGuard>,
    _folder: TempDir,
}

impl Told {
    async fn new(limits: Limits, rates: Rates) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("audit.log");
        let target = Target::File { path: path.clone(), max_bytes: 1 << 20, max_files: 1 };
        let (lines, guard) = Lines::open(target, Loss::Forbidden).unwrap();
        let door = Door { audit: Some(lines), rates, ..Door::default() };
        let world = World::with_door(limits, door).await;
        Self { world, path, guard: Some(guard), _folder: folder }
    }

    /// The file, when everything before is in it.
    fn text(&mut self) -> String {
        drop(self.guard.take());
        std::fs::read_to_string(&self.path).unwrap()
    }

    fn lines(&mut self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// What a line says was decided, in short: decision, status, code, and each document.
fn told(line: &Value) -> Value {
    let documents = line["documents"].as_array().unwrap().iter();
    let document = |it: &Value| json!([it["key"], it["outcome"], it["before"], it["after"]]);
    let documents: Vec<Value> = documents.map(document).collect();
    json!([line["method"], line["decision"], line["status"], line["code"], documents])
}

#[tokio::test(start_paused = true)]
async fn each_write_is_told() {
    let mut it = Told::new(Limits::default(), Rates::default()).await;
    let world = &it.world;
    let changed = with(package("shop"), "version", json!("2.0.0"));
    let inline = json!([{ "key": "i", "class_key": "Cart" }]);
    world.post("/api/v1/packages", package("shop")).await.is(201);
    world.post("/api/v1/packages", changed.clone()).await.is(409);
    world.put("/api/v1/packages/shop", changed.clone()).await.is(200);
    world.put("/api/v1/packages/shop", changed.clone()).await.is(200);
    world.put("/api/v1/packages/other", changed.clone()).await.is(400);
    world.put_if("/api/v1/packages/shop", package("shop"), &[("if-match", "\"1\"")]).await.is(412);
    world.post("/api/v1/packages", json!({ "name": "" })).await.is(400);
    world.post("/api/v1/packages", with(package("more"), "deployments", inline)).await.is(201);
    world.post("/api/v1/deployments", deployment("d", "shop")).await.is(201);
    world.delete("/api/v1/packages/shop").await.is(409);
    world.delete("/api/v1/packages/shop?cascade=true").await.is(202);
    world.delete("/api/v1/deployments/none").await.is(404);
    world.delete("/api/v1/clusters/none").await.is(404);
    world.call(Method::PATCH, "/api/v1/packages", &[], "").await.is(405);
    // What is not a write.
    world.get("/api/v1/packages").await.is(200);
    world.call(Method::POST, "/nowhere", &[], "").await.is(404);
    world.call(Method::POST, "/livez", &[], "").await.is(405);

    let lines = it.lines();
    let shop =
        |outcome: &str, before: Value, after: u64| json!(["packages/shop", outcome, before, after]);
    let of = |key: &str| json!([[key, null, null, null]]);
    let want = [
        json!(["POST", "allowed", 201, null, [shop("created", json!(null), 1)]]),
        json!(["POST", "refused", 409, "already_exists", of("packages/shop")]),
        json!(["PUT", "allowed", 200, null, [shop("replaced", json!(1), 2)]]),
        json!(["PUT", "allowed", 200, null, [shop("unchanged", json!(2), 2)]]),
        json!(["PUT", "refused", 400, "name_mismatch", of("packages/shop")]),
        json!(["PUT", "refused", 412, "precondition_failed", of("packages/shop")]),
        json!(["POST", "refused", 400, "invalid_document", []]),
        json!([
            "POST",
            "allowed",
            201,
            null,
            [["packages/more", "created", null, 1], ["deployments/i", "with_other", null, null],]
        ]),
        json!(["POST", "allowed", 201, null, [["deployments/d", "created", null, 1]]]),
        json!(["DELETE", "refused", 409, "has_dependants", of("packages/shop")]),
        json!([
            "DELETE",
            "allowed",
            202,
            null,
            [shop("deleting", json!(2), 2), ["deployments/d", "with_other", null, null],]
        ]),
        json!(["DELETE", "refused", 404, "not_found", of("deployments/none")]),
        json!(["DELETE", "refused", 404, "not_found", of("clusters/none")]),
        json!(["PATCH", "refused", 405, "method_not_allowed", []]),
    ];
    for (line, want) in lines.iter().zip(&want) {
        assert_eq!(told(line), *want, "{line}");
        assert_eq!(line["kind"], "audit");
        assert!(line["time"].is_string() && line["correlation_id"].is_string(), "{line}");
    }
    assert_eq!(lines.len(), want.len(), "{lines:#?}");
    assert_eq!(lines[10]["query"], json!({ "cascade": "true" }));
    assert_eq!(lines[0]["route"], "/api/v1/packages");
    assert_eq!(lines[2]["route"], "/api/v1/packages/{name}");
}

#[tokio::test(start_paused = true)]
async fn what_became_of_it_may_be_unknown() {
    let limits = Limits { request_timeout: Duration::from_secs(5), ..Limits::default() };
    let mut it = Told::new(limits, Rates::default()).await;
    for (fault, status) in [(Fault::Lost, 503), (Fault::MaybeDone, 503), (Fault::Full, 507)] {
        *it.world.store.fault.lock() = Some(fault);
        it.world.put("/api/v1/packages/shop", package("shop")).await.is(status);
    }
    // The body does not come; first the server gives up, then the caller.
    let endless = || {
        let body = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let request = Request::put("/api/v1/packages/shop").header("x-correlation-id", "gone");
        it.world.send(request.body(body).unwrap())
    };
    endless().await.is(503);
    assert!(tokio::time::timeout(Duration::from_secs(1), endless()).await.is_err());

    let lines = it.lines();
    let all: Vec<_> = lines.iter().map(|line| json!([line["decision"], line["code"]])).collect();
    let want = [
        json!(["failed", "unavailable"]),
        json!(["unknown", "maybe_done"]),
        json!(["failed", "store_full"]),
        json!(["unknown", "timeout"]),
        json!(["unknown", "client_gone"]),
    ];
    assert_eq!(all, want);
    for line in &lines {
        assert_eq!(line["documents"], json!([{ "key": "packages/shop" }]), "{line}");
    }
    assert_eq!(lines[4]["correlation_id"], "gone");
    assert_eq!(lines[4]["status"], json!(null));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_refusals_is_told_once_a_row() {
    let rate = Some(Rate { per_sec: 1, burst: 2 });
    let rates = Rates { subject_writes: rate, ..Rates::default() };
    let mut it = Told::new(Limits::default(), rates).await;
    for _ in 0..50 {
        let mut request = Request::delete("/api/v1/packages/none").body(Body::empty()).unwrap();
        request.extensions_mut().insert(Subject("mallory".into()));
        it.world.send(request).await;
    }
    let lines = it.lines();
    let all: Vec<_> = lines.iter().map(|line| json!([line["subject"], line["code"]])).collect();
    let told = |code: &str| json!(["mallory", code]);
    assert_eq!(all, [told("not_found"), told("not_found"), told("rate_limited")]);
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_told() {
    const SECRETS: [&str; 4] = ["hunter2", "s3cr3t-token", "c00kie", "p4ssword"];
    let mut it = Told::new(Limits::default(), Rates::default()).await;
    let mut document = package("shop");
    document["functions"][0]["config"] = json!({ "DB_PASSWORD": "p4ssword" });
    let headers = [
        ("authorization", "Bearer s3cr3t-token"),
        ("cookie", "session=c00kie"),
        ("content-type", "application/json"),
    ];
    for (method, path, body) in [
        (Method::PUT, "/api/v1/packages/shop", document.to_string()),
        (Method::PUT, "/api/v1/packages/shop?access_token=hunter2", document.to_string()),
        (Method::POST, "/api/v1/packages?password=hunter2", "p4ssword".to_owned()),
        (Method::POST, "/api/v1/packages", "{\"name\":\"p4ssword\",".to_owned()),
        (Method::DELETE, "/api/v1/packages/shop?token=hunter2", String::new()),
    ] {
        it.world.call(method, path, &headers, body).await;
    }
    let text = it.text();
    assert_eq!(text.lines().count(), 5, "{text}");
    for secret in SECRETS {
        assert!(!text.contains(secret), "{text}");
    }
}

/// Places that are all taken, by writes that do not end, stand for a disk that takes nothing.
#[tokio::test(start_paused = true)]
async fn without_room_for_a_line() {
    for (loss, want) in [(Loss::Forbidden, 503), (Loss::Counted, 201)] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("audit.log");
        let target = Target::File { path: path.clone(), max_bytes: 1 << 20, max_files: 1 };
        let (lines, guard) = Lines::open(target, loss).unwrap();
        let places: Vec<_> = std::iter::from_fn(|| lines.place()).collect();
        let door = Door { audit: Some(lines), ..Door::default() };
        let world = World::with_door(Limits::default(), door).await;
        let reply = world.put("/api/v1/packages/shop", package("shop")).await.is(want);
        if want == 503 {
            reply.refused(503, "audit_unavailable");
            assert_eq!(world.revision().await, 0, "nothing was written");
        }
        world.get("/api/v1/packages").await.is(200);
        drop(places);
        world.put("/api/v1/packages/shop", package("shop")).await;
        drop(guard);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_of_one_anonymous_address_are_a_few_lines() {
    let mut it = Told::new(Limits::default(), Rates::default()).await;
    let query = format!("?bundle={0}&cluster={0}&generation={0}", "x".repeat(2_000));
    for n in 0..100 {
        let name = format!("{n}-{}", "y".repeat(10_000));
        let request = Request::delete(format!("/api/v1/packages/{name}{query}"));
        let mut request = request.body(Body::empty()).unwrap();
        let address = ([192, 0, 2, 1], 4711).into();
        request.extensions_mut().insert(Peer { address, certificate_subject: None });
        it.world.send(request).await;
    }
    // More than a minute of the tests' clock: what was counted is written.
    for _ in 0..100 {
        it.world.put("/api/v1/packages/shop", package("shop")).await;
    }
    let text = it.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (counted, alone): (Vec<_>, Vec<_>) = lines
        .iter()
        .filter(|line| line["decision"] == "refused")
        .partition(|line| line.get("requests").is_some());
    // The clock of the tests decides how many minutes these take: ten of each minute have a line.
    assert!(alone.len() <= 10 * (counted.len() + 1), "{text}");
    let n_counted: u64 = counted.iter().filter_map(|line| line["requests"].as_u64()).sum();
    assert_eq!(u64::try_from(alone.len()).unwrap() + n_counted, 100, "{text}");
    assert!(text.lines().all(|line| line.len() < 1_500), "{text}");
    assert!(lines.iter().any(|line| line["decision"] == "allowed"), "{text}");
}
