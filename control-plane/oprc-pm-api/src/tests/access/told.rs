//! What the audit log tells of callers: those who are refused, and those whom a certificate names.

use std::path::PathBuf;

use axum::body::Body;
use http::{Method, Request};
use oprc_models::role::Role;
use oprc_observability::{Lines, LinesGuard, Loss, Target};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    super::world::{Reply, World, deployment, package, with},
    binding,
};
use crate::{Door, Limits, auth::tests::guard, peer::Peer};

const ROBOT: &str = "spiffe://cluster.local/ns/shop/sa/ci";

/// A replica that asks who calls, and tells of writes.
struct Told {
    world: World,
    path: PathBuf,
    guard: LinesGuard,
    _folder: TempDir,
}

impl Told {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("audit.log");
        let target = Target::File { path: path.clone(), max_bytes: 1 << 20, max_files: 1 };
        let (lines, lines_guard) = Lines::open(target, Loss::Forbidden).unwrap();
        let door = Door { audit: Some(lines), ..Door::default() };
        let world = World::guarded_by(guard(), Limits::default(), door).await;
        Self { world, path, guard: lines_guard, _folder: folder }
    }

    /// The lines, the first `n_setup` aside.
    fn lines(self, n_setup: usize) -> Vec<Value> {
        drop(self.guard);
        let text = std::fs::read_to_string(&self.path).unwrap();
        text.lines().skip(n_setup).map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Sends a request over a connection whose other end has shown the certificate of `subject`.
async fn with_certificate(
    world: &World,
    subject: Option<&str>,
    (method, path): (Method, &str),
    body: &Value,
) -> Reply {
    let mut request =
        Request::builder().method(method).uri(path).body(Body::from(body.to_string())).unwrap();
    let address = "192.0.2.7:1000".parse().unwrap();
    let certificate_subject = subject.map(Into::into);
    request.extensions_mut().insert(Peer { address, certificate_subject });
    world.send(request).await
}

/// Who a line says it was, and what became of it.
fn told(line: &Value) -> Value {
    let fields = ["subject", "authenticated_by", "groups", "decision", "status", "code"];
    fields.iter().map(|field| line[*field].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn refusals_of_the_door_are_told() {
    let it = Told::new().await;
    let world = &it.world;
    world.bind(Role::Developer, "dev", &["shop-*"]).await;
    let path = "/api/v1/packages/lib";
    let dev = world.by("dev", &["shop", "team"]);
    dev.put(path, package("lib")).await.refused(403, "forbidden");
    dev.put("/api/v1/packages/shop-a", package("shop-a")).await.is(201);
    world.by("nobody", &[]).put(path, package("lib")).await.refused(403, "forbidden");
    world.put(path, package("lib")).await.refused(401, "unauthenticated");
    let forged = [("authorization", "Bearer x.y.z")];
    world.call(Method::DELETE, path, &forged, "").await.refused(401, "unauthenticated");
    let many: Vec<String> = (0..60).map(|n| format!("g{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    world.by("nobody", &many).delete(path).await.refused(403, "forbidden");
    let mine = binding("mine", Role::Viewer, "x", &["*"]);
    let other = "/api/v1/role-bindings/other";
    world.root().put(other, mine).await.refused(400, "name_mismatch");

    let lines = it.lines(1);
    let want = [
        json!(["dev", "token", ["shop", "team"], "refused", 403, "forbidden"]),
        json!(["dev", "token", ["shop", "team"], "allowed", 201, null]),
        json!(["nobody", "token", null, "refused", 403, "forbidden"]),
        json!([null, null, null, "refused", 401, "unauthenticated"]),
        json!([null, null, null, "refused", 401, "unauthenticated"]),
    ];
    for (line, want) in lines.iter().zip(&want) {
        assert_eq!(told(line), *want, "{line}");
    }
    for line in [0, 2, 3, 4, 5].map(|index: usize| &lines[index]) {
        assert_eq!(line["documents"], json!([{"key": "packages/lib"}]), "{line}");
    }
    assert_eq!(lines[5]["groups"].as_array().unwrap().len(), 50);
    assert_eq!(lines[5]["groups_left_out"], 10);
    assert_eq!(lines[6]["documents"], json!([{"key": "role-bindings/mine"}]));
    assert_eq!((&lines[6]["status"], &lines[6]["subject"]), (&json!(400), &json!("root")));
    assert_eq!(lines.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn pushes_of_many_documents_are_told() {
    let it = Told::new().await;
    let world = &it.world;
    world.bind(Role::Developer, "dev", &["shop-*"]).await;
    world.bind(Role::Deployer, "dev", &["shop-*"]).await;
    let dev = world.by("dev", &[]);
    let documents = json!([package("shop-a"), deployment("d", "shop-a")]);
    let path = "/api/v1/apply?bundle=b&source_commit=abc";
    dev.post(path, documents.clone()).await.is(200);
    dev.post("/api/v1/apply?bundle=b&prune=true", json!([package("shop-a")])).await.is(200);
    dev.post("/api/v1/apply", json!([package("shop-a"), package("lib")])).await.is(403);
    dev.post("/api/v1/apply?dry_run=true", documents.clone()).await.is(200);
    dev.post("/api/v1/apply", json!([{"name": ""}])).await.is(400);
    world.post("/api/v1/apply", documents).await.refused(401, "unauthenticated");
    let many: Vec<Value> = (0..250).map(|n| package(&format!("lib-{n}"))).collect();
    dev.post("/api/v1/apply", json!(many)).await.is(403);

    let lines = it.lines(2);
    let of = |keys: &[&str]| keys.iter().map(|key| json!({ "key": key })).collect::<Vec<_>>();
    let want = [
        json!(["allowed", 200, [
            {"key": "packages/shop-a", "outcome": "created", "after": 1},
            {"key": "deployments/d", "outcome": "created", "after": 1},
        ]]),
        json!(["allowed", 200, [
            {"key": "packages/shop-a", "outcome": "unchanged", "before": 1, "after": 1},
            {"key": "deployments/d", "outcome": "deleting", "before": 1, "after": 1},
        ]]),
        json!(["refused", 403, of(&["packages/shop-a", "packages/lib"])]),
        json!(["allowed", 200, of(&["packages/shop-a", "deployments/d"])]),
        json!(["refused", 400, []]),
        json!(["refused", 401, []]),
    ];
    for (line, want) in lines.iter().zip(&want) {
        let told = json!([line["decision"], line["status"], line["documents"]]);
        assert_eq!(told, *want, "{line}");
        assert_eq!(line["route"], "/api/v1/apply");
    }
    assert_eq!(lines[0]["query"], json!({"bundle": "b"}));
    assert_eq!(lines[3]["query"], json!({"dry_run": "true"}));
    assert_eq!(lines[6]["documents"].as_array().unwrap().len(), 200);
    assert_eq!(lines[6]["documents_left_out"], 50);
}

/// A certificate names a caller like a token does, unless a token is brought.
#[tokio::test(start_paused = true)]
async fn certificates_name_callers() {
    let it = Told::new().await;
    let world = &it.world;
    let document = binding("robot", Role::Developer, ROBOT, &["shop-*"]);
    world.root().put("/api/v1/role-bindings/robot", document).await.is(201);
    let put = |name: &str| (Method::PUT, format!("/api/v1/packages/{name}"));
    let send = async |subject: Option<&str>, name: &str| {
        let (method, path) = put(name);
        with_certificate(world, subject, (method, &path), &package(name)).await
    };
    send(Some(ROBOT), "shop-a").await.is(201);
    send(Some(ROBOT), "lib").await.refused(403, "forbidden");
    send(Some("mallory"), "shop-a").await.refused(403, "forbidden");
    send(None, "shop-a").await.refused(401, "unauthenticated");
    // The subject of an admin is the same however it is shown.
    send(Some("root"), "lib").await.is(201);
    assert_eq!(world.meta("packages/shop-a").await.unwrap().written_by.as_deref(), Some(ROBOT));
    let who = (Method::GET, "/api/v1/whoami");
    let who = with_certificate(world, Some(ROBOT), who, &Value::Null).await.is(200).json();
    assert_eq!(
        who,
        json!({
            "subject": ROBOT, "groups": [], "authenticated_by": "certificate",
            "roles": [{"role": "developer", "packages": ["shop-*"]}],
        })
    );
    // A token that is brought is who calls, a bad one too.
    for (token, status) in [(world.by("nobody", &[]).authorization, 403), ("x".into(), 401)] {
        let body = Body::from(with(package("shop-a"), "version", json!("2")).to_string());
        let mut request = Request::put("/api/v1/packages/shop-a").body(body).unwrap();
        request.headers_mut().insert("authorization", token.parse().unwrap());
        let certificate_subject = Some("root".into());
        let address = "192.0.2.7:1000".parse().unwrap();
        request.extensions_mut().insert(Peer { address, certificate_subject });
        world.send(request).await.is(status);
    }

    let lines = it.lines(1);
    let want = [
        json!([ROBOT, "certificate", null, "allowed", 201, null]),
        json!([ROBOT, "certificate", null, "refused", 403, "forbidden"]),
        json!(["mallory", "certificate", null, "refused", 403, "forbidden"]),
        json!([null, null, null, "refused", 401, "unauthenticated"]),
        json!(["root", "certificate", null, "allowed", 201, null]),
        json!(["nobody", "token", null, "refused", 403, "forbidden"]),
        json!([null, null, null, "refused", 401, "unauthenticated"]),
    ];
    assert_eq!(lines.iter().map(told).collect::<Vec<_>>(), want);
    assert!(lines.iter().all(|line| line["address"] == "192.0.2.7"), "{lines:?}");
}

/// Tokens and certificates share one space of subjects, unless a binding asks for one kind.
#[tokio::test(start_paused = true)]
async fn bindings_may_ask_for_one_kind_of_credential() {
    let it = Told::new().await;
    let world = &it.world;
    for (subject, kind) in [("both", None), ("t", Some("token")), ("c", Some("certificate"))] {
        let mut document = binding(subject, Role::Developer, subject, &["shop-*"]);
        if let Some(kind) = kind {
            document["subject_kind"] = json!(kind);
        }
        let path = format!("/api/v1/role-bindings/{subject}");
        world.root().put(&path, document).await.is(201);
        assert_eq!(world.root().get(&path).await.json()["subject_kind"], json!(kind));
    }
    for (subject, by_token, by_certificate) in
        [("both", 200, 200), ("t", 200, 403), ("c", 403, 200), ("nobody", 403, 403)]
    {
        let path = "/api/v1/packages";
        world.by(subject, &[]).get(path).await.is(by_token);
        let asked = (Method::GET, path);
        with_certificate(world, Some(subject), asked, &Value::Null).await.is(by_certificate);
    }
    let mut wrong = binding("wrong", Role::Viewer, "x", &["*"]);
    wrong["subject_kind"] = json!("password");
    let path = "/api/v1/role-bindings/wrong";
    world.root().put(path, wrong).await.refused(400, "invalid_document");
}
