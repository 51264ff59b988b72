//! Hostile input over real HTTP: refused with a pointer, never a failure of ours, nothing written.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Answer, Api, Backend, World, check_problem, document, eventually, on_each_backend,
};

on_each_backend!(
    malformed_input_is_refused_and_writes_nothing,
    an_unknown_cluster_is_told_and_waited_for,
);

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";

/// What is sent to where.
struct Case {
    name: &'static str,
    path: &'static str,
    media_type: &'static str,
    body: Vec<u8>,
    /// The status wanted.
    status: u16,
}

fn case(
    name: &'static str,
    path: &'static str,
    media_type: &'static str,
    body: impl Into<Vec<u8>>,
    status: u16,
) -> Case {
    Case { name, path, media_type, body: body.into(), status }
}

fn nested(open: &str, close: &str, depth: usize) -> String {
    format!("{{\"name\": \"x\", \"labels\": {}1{}}}", open.repeat(depth), close.repeat(depth))
}

/// A deployment with `field` set to `value`.
fn with(field: &str, value: Value) -> String {
    let mut document = document("bad", &["edge-1"]);
    document[field] = value;
    document.to_string()
}

fn cases() -> Vec<Case> {
    let (packages, deployments) = ("/api/v1/packages", "/api/v1/deployments");
    let big = format!("{{\"name\": \"{}\"}}", "x".repeat(2 << 20));
    let huge_number = "9".repeat(4000);
    vec![
        case("empty", packages, JSON, "", 400),
        case("truncated", packages, JSON, "{\"name\": \"shop\", \"classes\": [{", 400),
        case("truncated string", deployments, JSON, "{\"key\": \"ca", 400),
        case("not an object", packages, JSON, "[1, 2, 3]", 400),
        case("a scalar", packages, YAML, "just words", 400),
        case("null", packages, JSON, "null", 400),
        case("wrong type of a list", packages, JSON, "{\"name\": \"x\", \"classes\": 7}", 400),
        case(
            "wrong type of an object",
            deployments,
            JSON,
            with("nfr_requirements", json!("much")),
            400,
        ),
        case("wrong type of a name", packages, JSON, "{\"name\": {\"a\": 1}}", 400),
        case("no name", packages, JSON, "{\"classes\": []}", 400),
        case("a bad name", packages, JSON, "{\"name\": \"../../etc\"}", 400),
        case("a long name", packages, JSON, json!({"name": "x".repeat(300)}).to_string(), 400),
        case("2 MiB", packages, JSON, big.clone(), 413),
        case("2 MiB of YAML", packages, YAML, big, 413),
        case("deep lists", packages, JSON, nested("{\"a\":[", "]}", 20_000), 400),
        case("deep objects", packages, JSON, nested("{\"a\":", "}", 20_000), 400),
        case("deep YAML", packages, YAML, nested("[", "]", 20_000), 400),
        case("bad UTF-8", packages, JSON, b"{\"name\": \"\xff\xfe\"}".to_vec(), 400),
        case("bad UTF-8 in YAML", packages, YAML, b"name: \xc3\x28".to_vec(), 400),
        case("NUL", packages, JSON, "{\"name\": \"a\\u0000b\"}", 400),
        case("a billion laughs", packages, YAML, laughs(), 400),
        case("two of one key", packages, JSON, "{\"name\": \"a\", \"name\": \"b\"}", 400),
        case(
            "a bad cluster",
            deployments,
            JSON,
            with("target_envs", json!(["Not A Cluster"])),
            400,
        ),
        case("a negative", deployments, JSON, with("odgm", json!({"partition_count": -1})), 400),
        case("too much", deployments, JSON, with("odgm", json!({"replica_count": 1e300})), 400),
        case(
            "an absurd number",
            deployments,
            JSON,
            format!(
                "{{\"key\":\"bad\",\"package_name\":\"shop\",\"class_key\":\"Cart\",\"odgm\":{{\"partition_count\":{huge_number}}}}}"
            ),
            400,
        ),
        case(
            "no share",
            deployments,
            JSON,
            with("nfr_requirements", json!({"availability": 2})),
            400,
        ),
        case(
            "not a number",
            deployments,
            YAML,
            "key: bad\npackage_name: shop\nclass_key: Cart\nnfr_requirements: {availability: .nan}",
            400,
        ),
        case("another type", packages, "text/plain", "name: shop", 415),
        case("no type that is known", packages, "application/xml", "<name/>", 415),
    ]
}

/// Aliases that would unfold to a billion items.
fn laughs() -> String {
    let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for i in 1..10 {
        let item = format!("*a{}, ", i - 1);
        text += &format!("a{i}: &a{i} [{}]\n", item.repeat(10).trim_end_matches(", "));
    }
    text + "name: laughs\n"
}

async fn send(api: &Api, case: &Case) -> Answer {
    let request = api.request(Method::POST, case.path).header("content-type", case.media_type);
    Api::send(request.body(case.body.clone())).await
}

async fn malformed_input_is_refused_and_writes_nothing(backend: Backend) {
    let world = World::start(backend, &["edge-1"]).await;
    world.put_package("1.0.0").await;
    world.put_deployment("cart", &["edge-1"]).await;
    world.runs_on("cart", &["edge-1"]).await;
    let before = observe(&world).await;
    for case in cases() {
        let answer = send(world.api(), &case).await;
        let name = case.name;
        assert_eq!(answer.status.as_u16(), case.status, "{name}: {answer:?}");
        let media_type = answer.headers.get("content-type").map(|it| it.as_bytes());
        assert_eq!(media_type, Some(&b"application/problem+json"[..]), "{name}: {answer:?}");
        if answer.body["code"] == "invalid_document" {
            let errors = answer.body["errors"].as_array().cloned().unwrap_or_default();
            let is_told = |it: &Value| it["pointer"].is_string() && it["message"].is_string();
            assert!(!errors.is_empty() && errors.iter().all(is_told), "{name}: {answer:?}");
        }
    }
    hostile_requests(world.api()).await;
    let after = observe(&world).await;
    assert_eq!(before, after, "something was written");
    world.is_ready(0).await;
}

/// What no document is to blame for.
async fn hostile_requests(api: &Api) {
    let cases = [
        (Method::GET, "/api/v1/deployments?limit=-1", 400),
        (Method::GET, "/api/v1/deployments?limit=99999999999999999999", 400),
        (Method::GET, "/api/v1/deployments?continue=%ff%00", 400),
        (Method::GET, "/api/v1/deployments?limt=10", 400),
        (Method::GET, "/api/v1/deployments/%2e%2e%2f", 400),
        (Method::GET, "/api/v1/deployments/nothing", 404),
        (Method::GET, "/api/v1/clusters/nowhere", 404),
        (Method::DELETE, "/api/v1/deployments/cart?cluster=No%20Where", 400),
        (Method::DELETE, "/api/v1/deployments/nothing", 404),
        (Method::PATCH, "/api/v1/deployments/cart", 405),
        (Method::GET, "/api/v1/nothing", 404),
        (Method::GET, "/api/v2/deployments", 404),
    ];
    for (method, path, status) in cases {
        let answer = Api::send(api.request(method.clone(), path)).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {answer:?}");
        assert!(answer.body["code"].is_string(), "{method} {path}: {answer:?}");
    }
}

/// A cluster that nobody knows is no mistake of a document, for pushes come in any order: it is
/// told, and what is meant for it waits.
async fn an_unknown_cluster_is_told_and_waited_for(backend: Backend) {
    let world = World::start(backend, &["edge-1"]).await;
    world.put_package("1.0.0").await;
    let answer = world.put_deployment("cart", &["edge-1", "nowhere"]).await;
    let warnings = answer.body["warnings"].as_array().cloned().unwrap_or_default();
    let is_told = |it: &Value| it["pointer"] == "/target_envs/1";
    assert!(warnings.iter().any(is_told), "{answer:?}");
    let status = eventually("edge-1 runs it", || async {
        let status = world.status("cart").await;
        let parts = status["clusters"].as_array().cloned().unwrap_or_default();
        let runs = |it: &Value| it["cluster"] == "edge-1" && it["condition"] == "RUNNING";
        if parts.iter().any(runs) { Ok(status) } else { Err(status) }
    })
    .await;
    assert_ne!(status["condition"], "RUNNING", "a cluster is missing: {status}");
    assert!(status["conditions"].to_string().contains("nowhere"), "{status}");
}

/// The revision of every document; with etcd that of everything stored.
async fn observe(world: &World) -> Value {
    let mut seen = Vec::new();
    for path in ["packages", "deployments", "clusters"] {
        seen.push(Value::from(world.api().list(&format!("/api/v1/{path}")).await));
    }
    if world.etcd.is_some() {
        let specs = world.stored().await.into_iter().filter(|(key, _)| !key.contains("/leader/"));
        seen.push(specs.map(|(key, revision)| json!([key, revision])).collect());
    }
    Value::from(seen)
}

/// Its sender is still sending when it is refused; the answer must not be lost on the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_large_is_refused_in_words() {
    let world = World::start(Backend::Embedded, &[]).await;
    let big = case("2 MiB", "/api/v1/packages", JSON, vec![b'x'; 2 << 20], 413);
    for _ in 0..200 {
        check_problem(&send(world.api(), &big).await, 413, "body_too_large");
    }
}
