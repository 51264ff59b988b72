//! The door: each role against each route, and what is hidden from whom.

use std::{collections::BTreeSet, time::Duration};

use axum::body::Body;
use futures::StreamExt;
use http::{Method, Request};
use oprc_models::role::{Kind, Role, Verb};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::world::{Reply, World, deployment, package, with};
use crate::{
    Limits,
    auth::{
        Guard, Key, KeyRing,
        routes::{Need, ROUTES},
        tests::{SECRET, guard, rules, token},
    },
};

/// A caller, by token.
struct As<'w> {
    world: &'w World,
    authorization: String,
}

impl World {
    fn by<'w>(&'w self, subject: &str, groups: &[&str]) -> As<'w> {
        As { world: self, authorization: format!("Bearer {}", token(subject, groups)) }
    }

    fn root(&self) -> As<'_> {
        self.by("root", &[])
    }
}

impl As<'_> {
    async fn send(&self, method: Method, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [("authorization", self.authorization.as_str())];
        self.world.call(method, path, &headers, body).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &Value::Null).await
    }

    async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, &body).await
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, &body).await
    }

    async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, &Value::Null).await
    }

    /// Every item of a list, a few on each page.
    async fn list(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut next = String::new();
        for _ in 0..100 {
            let page = self.get(&format!("{path}?limit=2{next}")).await.is(200).json();
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["continue"].as_str() {
                Some(token) => next = format!("&continue={token}"),
                None => return items,
            }
        }
        panic!("{path} does not end")
    }
}

fn binding(name: &str, role: Role, subject: &str, packages: &[&str]) -> Value {
    json!({"name": name, "role": role, "subjects": [subject], "packages": packages})
}

impl World {
    async fn bind(&self, role: Role, subject: &str, packages: &[&str]) {
        let name = format!("{subject}-{role}");
        let path = format!("/api/v1/role-bindings/{name}");
        self.root().put(&path, binding(&name, role, subject, packages)).await.is(201);
    }
}

#[test]
fn every_route_is_in_the_table() {
    let listed: BTreeSet<(String, String)> = ROUTES
        .iter()
        .flat_map(|(path, methods)| {
            methods.iter().map(|(does, _)| ((*path).to_owned(), does.method().to_string()))
        })
        .collect();
    let routed = crate::openapi::tests::routed();
    assert!(routed.len() > 30, "{routed:?}");
    assert_eq!(
        routed.difference(&listed).collect::<Vec<_>>(),
        Vec::<&_>::new(),
        "not in the table"
    );
    assert_eq!(listed.difference(&routed).collect::<Vec<_>>(), Vec::<&_>::new(), "not a route");
}

/// A path of the route, with names of what is not there.
fn path_of(route: &str) -> String {
    let names = [
        ("{name}", "nothing"),
        ("{key}", "nothing"),
        ("{id}", "nothing"),
        ("{file}", "package.json"),
        ("{generation}", "1"),
        ("{from}", "1"),
        ("{to}", "2"),
    ];
    names.iter().fold(route.to_owned(), |path, (part, name)| path.replace(part, name))
}

/// **Each role against each route.** What a role permits is answered by whatever comes of it, but
/// never 401 or 403; what none of the caller's roles permits is 403, and says which would.
#[tokio::test]
async fn each_role_against_each_route() {
    // A watch that is allowed has no end: here there is no room for one, which is no refusal.
    let limits = Limits { max_watches: 0, ..Limits::default() };
    let world = World::guarded_with(guard(), limits).await;
    for role in Role::ALL {
        world.bind(*role, role.as_str(), &["*"]).await;
    }
    let mut n_refused = 0;
    for (route, methods) in ROUTES {
        let path = path_of(route);
        for (does, need) in *methods {
            let send = |headers: Vec<(&'static str, String)>| {
                let (world, path, method) = (&world, &path, does.method());
                async move {
                    let headers: Vec<_> =
                        headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                    world.call(method, path, &headers, "{}").await
                }
            };
            let nobody = send(Vec::new()).await;
            let is_open = matches!(need, Need::Nothing);
            if is_open {
                assert_eq!(nobody.status, 200, "{path}");
            } else {
                nobody.refused(401, "unauthenticated");
                assert_eq!(nobody.header("www-authenticate"), r#"Bearer realm="oprc-pm""#);
            }
            for role in Role::ALL.iter().map(Some).chain([None]) {
                let subject = role.map_or("stranger", |role| role.as_str());
                let authorization = format!("Bearer {}", token(subject, &[]));
                let reply = send(vec![("authorization", authorization)]).await;
                let permits =
                    |verb: Verb, kind: Kind| role.is_some_and(|role| role.permits(verb, kind));
                let may = match need {
                    Need::Nothing | Need::Metrics | Need::Identity => true,
                    Need::Role(verb, kind) => permits(*verb, *kind),
                    Need::Either(verb, kinds) => kinds.iter().any(|kind| permits(*verb, *kind)),
                };
                let what = format!("{subject}: {} {path}: {:?}", does.method(), reply.body);
                if may {
                    assert!(reply.status != 401 && reply.status != 403, "{what}");
                } else {
                    let problem = reply.refused(403, "forbidden");
                    assert!(
                        problem["detail"].as_str().unwrap().contains("want the role"),
                        "{what}"
                    );
                    n_refused += 1;
                }
            }
        }
    }
    assert!(n_refused > 60, "{n_refused}");
}

/// What nobody thought of is closed: other methods, other routes.
#[tokio::test]
async fn what_is_not_in_the_table_is_refused() {
    let world = World::guarded(guard()).await;
    let root = world.root();
    for (method, path, status, code) in [
        (Method::PATCH, "/api/v1/packages", 405, "method_not_allowed"),
        (Method::DELETE, "/api/v1/packages", 405, "method_not_allowed"),
        (Method::POST, "/healthz", 405, "method_not_allowed"),
        (Method::GET, "/api/v1/secrets", 404, "route_not_found"),
    ] {
        let reply = root.send(method.clone(), path, &Value::Null).await;
        reply.refused(status, code);
        let nobody = world.call(method, path, &[], "").await;
        nobody.refused(401, "unauthenticated");
    }
    let reply = root.send(Method::PATCH, "/api/v1/packages", &Value::Null).await;
    assert_eq!(reply.header("allow"), "GET,HEAD,POST");
}

#[tokio::test]
async fn credentials_that_are_none_are_refused() {
    let world = World::guarded(guard()).await;
    let good = token("root", &[]);
    for value in ["", "Bearer", "Bearer ", "Basic cm9vdDpyb290", &good, "Bearer nonsense"] {
        let reply =
            world.call(Method::GET, "/api/v1/packages", &[("authorization", value)], "").await;
        reply.refused(401, "unauthenticated");
        assert!(reply.header("www-authenticate").starts_with("Bearer realm"), "{value:?}");
        // Probes answer whatever is brought.
        world.call(Method::GET, "/livez", &[("authorization", value)], "").await.is(200);
    }
    let both = format!("Bearer {good}");
    let twice = [("authorization", both.as_str()), ("authorization", both.as_str())];
    world.call(Method::GET, "/api/v1/packages", &twice, "").await.refused(401, "unauthenticated");
    let lower = [("authorization", both.replacen("Bearer", "bearer", 1))];
    let lower = [("authorization", lower[0].1.as_str())];
    world.call(Method::GET, "/api/v1/packages", &lower, "").await.is(200);
}

#[tokio::test]
async fn metrics_are_open_where_that_is_said() {
    let closed = World::guarded(guard()).await;
    closed.get("/metrics").await.refused(401, "unauthenticated");
    closed.by("anybody", &[]).get("/metrics").await.is(200);
    let open = World::guarded(guard().with_open_metrics()).await;
    open.get("/metrics").await.is(200);
}

/// Three packages, a deployment of each, and its record: `ada` sees those of `shop-*`.
async fn three_packages() -> World {
    let world = World::guarded(guard()).await;
    let root = world.root();
    for name in ["lib", "shop-a", "shop-b"] {
        root.put(&format!("/api/v1/packages/{name}"), package(name)).await.is(201);
        for key in ["x", "y"] {
            let key = format!("{key}-{name}");
            let path = format!("/api/v1/deployments/{key}");
            root.put(&path, deployment(&key, name)).await.is(201);
            let id = format!("unit-{key}");
            let record = json!({
                "cluster": "east", "id": id, "deployment_key": key, "managed": true,
                "observed_at": "2026-01-01T00:00:00Z",
            });
            let at = world.store(&format!("records/east/{id}").parse().unwrap(), &record).await;
            world.cache.wait_for(at, std::time::Duration::from_secs(5)).await.unwrap();
        }
    }
    world
}

#[tokio::test]
async fn lists_show_what_the_caller_may_see() {
    let world = three_packages().await;
    world.bind(Role::Viewer, "ada", &["shop-*"]).await;
    world.bind(Role::Deployer, "bob", &["lib", "shop-b"]).await;
    let names = |items: &[Value], field: &str| -> Vec<String> {
        items.iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
    };
    let (ada, bob, root) = (world.by("ada", &[]), world.by("bob", &[]), world.root());
    for (who, want) in [
        (&ada, &["shop-a", "shop-b"][..]),
        (&bob, &["lib", "shop-b"]),
        (&root, &["lib", "shop-a", "shop-b"]),
    ] {
        let packages = names(&who.list("/api/v1/packages").await, "name");
        assert_eq!(packages, want);
        for part in ["classes", "functions"] {
            let parts = names(&who.list(&format!("/api/v1/{part}")).await, "package_name");
            assert_eq!(parts, want);
        }
        let mut deployments = names(&who.list("/api/v1/deployments").await, "key");
        deployments.sort();
        let mut wanted: Vec<String> =
            want.iter().flat_map(|name| [format!("x-{name}"), format!("y-{name}")]).collect();
        wanted.sort();
        assert_eq!(deployments, wanted);
        let mut records = names(&who.list("/api/v1/deployment-records").await, "deployment_key");
        records.sort();
        assert_eq!(records, wanted);
    }
    // Filters look at nothing else either.
    let of = |filter: &'static str| {
        let ada = &ada;
        async move { ada.get(filter).await.is(200).json()["items"].as_array().unwrap().len() }
    };
    assert_eq!(of("/api/v1/deployments?package_name=lib").await, 0);
    assert_eq!(of("/api/v1/deployments?package_name=shop-a").await, 2);
    assert_eq!(of("/api/v1/deployment-records?deployment_key=x-lib").await, 0);
    assert_eq!(of("/api/v1/deployment-records?deployment_key=x-shop-a").await, 1);
    assert_eq!(of("/api/v1/deployment-records?cluster=west").await, 0);
    assert_eq!(of("/api/v1/classes?package_name=lib").await, 0);
}

/// Events about a deployment are seen by who sees its package, those about clusters by all who read
/// clusters; those about what is gone by who sees everything.
#[tokio::test]
async fn events_are_seen_by_who_sees_what_they_are_about() {
    let world = three_packages().await;
    world.bind(Role::Viewer, "ada", &["shop-*"]).await;
    let root = world.root();
    let cluster = json!({
        "meta": {
            "uid": "c", "generation": 1, "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
        },
        "spec": {"name": "east", "endpoints": ["http://east"]},
    });
    world.store(&"clusters/east".parse().unwrap(), &cluster).await;
    let abouts = [
        "package/lib",
        "package/shop-a",
        "deployment/gone",
        "deployment/x-lib",
        "deployment/x-shop-a",
        "deployment/y-shop-b",
        "cluster/east",
    ];
    let event = |reason: &str| {
        json!({
            "reason": reason, "severity": "NORMAL", "message": "", "count": 1,
            "first": "2026-01-01T00:00:00Z", "last": "2026-01-01T00:00:00Z",
        })
    };
    for about in abouts {
        let stored = json!({"events": [event("Sent"), event("Gone")]});
        let at = world.store(&format!("events/{about}").parse().unwrap(), &stored).await;
        world.cache.wait_for(at, std::time::Duration::from_secs(5)).await.unwrap();
    }
    let ada = world.by("ada", &[]);
    let told = |items: &[Value]| -> Vec<String> {
        let name = |item: &Value| format!("{} {}", item["about"], item["reason"]).replace('"', "");
        items.iter().map(name).collect()
    };
    let all = told(&root.list("/api/v1/events").await);
    assert_eq!(all.len(), 2 * abouts.len());
    let seen = ["package/shop-a", "deployment/x-shop-a", "deployment/y-shop-b", "cluster/east"];
    let want: Vec<String> = seen
        .iter()
        .flat_map(|about| ["Gone", "Sent"].map(|reason| format!("{about} {reason}")))
        .collect();
    assert_eq!(told(&ada.list("/api/v1/events").await), want);
    // Page by page it is the same.
    let (mut paged, mut path) = (Vec::new(), "/api/v1/events?limit=1".to_owned());
    loop {
        let page = ada.get(&path).await.is(200).json();
        paged.extend(told(page["items"].as_array().unwrap()));
        let Some(next) = page["continue"].as_str() else { break };
        path = format!("/api/v1/events?limit=1&continue={next}");
    }
    assert_eq!(paged, want);
    for about in abouts {
        let path = format!("/api/v1/events?about={about}");
        let n_told = ada.get(&path).await.is(200).json()["items"].as_array().unwrap().len();
        assert_eq!(n_told, if seen.contains(&about) { 2 } else { 0 }, "{about}");
    }
    world.by("nobody", &[]).get("/api/v1/events").await.refused(403, "forbidden");
}

/// What a caller may not see and what is not there are answered alike.
#[tokio::test]
async fn what_is_hidden_is_as_if_it_were_not() {
    let world = three_packages().await;
    world.bind(Role::Viewer, "ada", &["shop-*"]).await;
    world.bind(Role::Deployer, "bob", &["shop-*"]).await;
    let ada = world.by("ada", &[]);
    for (hidden, absent) in [
        ("/api/v1/packages/lib", "/api/v1/packages/lab"),
        ("/api/v1/packages/lib/revisions", "/api/v1/packages/lab/revisions"),
        ("/api/v1/deployments/x-lib", "/api/v1/deployments/x-lab"),
        ("/api/v1/deployments/x-lib/revisions", "/api/v1/deployments/x-lab/revisions"),
        ("/api/v1/deployments/x-lib/revisions/1", "/api/v1/deployments/x-lab/revisions/1"),
        ("/api/v1/deployment-status/x-lib", "/api/v1/deployment-status/x-lab"),
        ("/api/v1/deployment-records/unit-x-lib", "/api/v1/deployment-records/unit-x-lab"),
        (
            "/api/v1/can-i?verb=get&kind=deployments&name=x-lib",
            "/api/v1/can-i?verb=get&kind=deployments&name=x-lab",
        ),
    ] {
        let [hidden, absent] = [ada.get(hidden).await, ada.get(absent).await];
        assert_eq!(hidden.status, absent.status);
        let text = |reply: &Reply| {
            let mut body = reply.json();
            body["correlation_id"] = Value::Null;
            body.to_string().replace("lib", "lab")
        };
        assert_eq!(text(&hidden), text(&absent));
    }
    let bob = world.by("bob", &[]);
    bob.delete("/api/v1/deployments/x-lib").await.refused(404, "not_found");
    bob.delete("/api/v1/deployments/x-lab").await.refused(404, "not_found");
    // Nothing was asked for.
    let meta = world.meta("deployments/x-lib").await.unwrap();
    assert!(!meta.is_deleting());
}

#[tokio::test]
async fn writes_reach_as_far_as_the_binding() {
    let world = three_packages().await;
    world.bind(Role::Developer, "dev", &["shop-*"]).await;
    world.bind(Role::Deployer, "ops", &["shop-*"]).await;
    let (dev, ops) = (world.by("dev", &[]), world.by("ops", &[]));
    let path = "/api/v1/packages/shop-a";
    dev.put(path, with(package("shop-a"), "version", json!("2"))).await.is(200);
    assert_eq!(world.meta("packages/shop-a").await.unwrap().written_by.as_deref(), Some("dev"));
    dev.put("/api/v1/packages/lib", package("lib")).await.refused(403, "forbidden");
    dev.put("/api/v1/packages/new", package("new")).await.refused(403, "forbidden");
    ops.put(path, package("shop-a")).await.refused(403, "forbidden");
    dev.delete("/api/v1/packages/lib").await.refused(403, "forbidden");

    let deploy = |key: &str, package: &str| deployment(key, package);
    ops.post("/api/v1/deployments", deploy("z-shop-a", "shop-a")).await.is(201);
    ops.post("/api/v1/deployments", deploy("z-lib", "lib")).await.refused(403, "forbidden");
    dev.post("/api/v1/deployments", deploy("q", "shop-a")).await.refused(403, "forbidden");
    // Taking what is another's: by its key, into a package of one's own.
    let taken = ops.put("/api/v1/deployments/x-lib", deploy("x-lib", "shop-a")).await;
    taken.refused(403, "forbidden");
    assert_eq!(world.meta("deployments/x-lib").await.unwrap().generation, 1);
    // And giving away what is one's own.
    ops.put("/api/v1/deployments/z-shop-a", deploy("z-shop-a", "lib"))
        .await
        .refused(403, "forbidden");
    ops.delete("/api/v1/deployments/z-shop-a").await.is(202);
    ops.post("/api/v1/deployments/x-lib/rollback", json!({"generation": 1}))
        .await
        .refused(404, "not_found");
    dev.post("/api/v1/packages/lib/rollback", json!({"generation": 1}))
        .await
        .refused(404, "not_found");

    // A list of deployments in the place of a package is of what is in it.
    let list =
        |package: &str| json!({"package_name": package, "deployments": [{"class_key": "Cart"}]});
    ops.post("/api/v1/packages", list("shop-b")).await.is(201);
    ops.post("/api/v1/packages", list("lib")).await.refused(403, "forbidden");
    dev.post("/api/v1/packages", list("shop-b")).await.refused(403, "forbidden");
}

/// What a package declares inline are deployments, and need who may write those.
#[tokio::test]
async fn inline_deployments_need_a_deployer() {
    let world = three_packages().await;
    world.bind(Role::Developer, "dev", &["shop-*"]).await;
    let dev = world.by("dev", &[]);
    let inline = with(package("shop-a"), "deployments", json!([{"class_key": "Cart"}]));
    let path = "/api/v1/packages/shop-a";
    let problem = dev.put(path, inline.clone()).await.refused(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("deployer"), "{problem}");
    assert_eq!(world.meta("packages/shop-a").await.unwrap().generation, 1);
    world.root().put(path, inline.clone()).await.is(200);
    // The same again writes no deployment; without them it would delete one.
    dev.put(path, with(inline, "version", json!("2"))).await.is(200);
    dev.put(path, package("shop-a")).await.refused(403, "forbidden");
    world.bind(Role::Deployer, "dev", &["shop-a"]).await;
    dev.put(path, package("shop-a")).await.is(200);
}

#[tokio::test]
async fn a_cascade_goes_no_further_than_its_caller() {
    let world = three_packages().await;
    let root = world.root();
    let needs = |name: &str| with(package(name), "dependencies", json!(["shop-a"]));
    root.put("/api/v1/packages/lib", needs("lib")).await.is(200);
    world.bind(Role::Developer, "dev", &["shop-*"]).await;
    world.bind(Role::Deployer, "dev", &["shop-*"]).await;
    let dev = world.by("dev", &[]);
    let refused = dev.delete("/api/v1/packages/shop-a").await.refused(409, "has_dependants");
    assert!(!refused.to_string().contains("lib"), "{refused}");
    let refused =
        dev.delete("/api/v1/packages/shop-a?cascade=true").await.refused(403, "forbidden");
    assert!(!refused.to_string().contains("lib"), "{refused}");
    assert!(!world.meta("deployments/x-shop-a").await.unwrap().is_deleting());
    dev.delete("/api/v1/packages/shop-b?cascade=true").await.is(202);
    root.delete("/api/v1/packages/shop-a?cascade=true").await.is(202);
}

#[tokio::test]
async fn bindings_are_documents_and_count_at_once() {
    let world = World::guarded(guard()).await;
    let root = world.root();
    let ada = world.by("ada", &["team"]);
    ada.get("/api/v1/packages").await.refused(403, "forbidden");
    let path = "/api/v1/role-bindings/team-reads";
    let document = json!({"name": "team-reads", "role": "viewer", "groups": ["team"]});
    let created = root.post("/api/v1/role-bindings", document.clone()).await.is(201);
    assert_eq!(created.header("location"), path);
    assert_eq!(created.json()["packages"], json!(["*"]));
    ada.get("/api/v1/packages").await.is(200);
    ada.get("/api/v1/role-bindings").await.refused(403, "forbidden");

    root.post("/api/v1/role-bindings", document.clone()).await.is(200);
    let other = with(document.clone(), "role", json!("developer"));
    root.post("/api/v1/role-bindings", other.clone()).await.refused(409, "already_exists");
    let stale = [("authorization", root.authorization.as_str()), ("if-match", "\"99\"")];
    let refused = world.call(Method::PUT, path, &stale, other.to_string()).await;
    refused.refused(412, "precondition_failed");
    let got = root.get(path).await.is(200);
    let fresh = [("authorization", root.authorization.as_str()), ("if-match", got.etag())];
    world.call(Method::PUT, path, &fresh, other.to_string()).await.is(200);
    ada.put("/api/v1/packages/shop", package("shop")).await.is(201);
    let listed = root.list("/api/v1/role-bindings").await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["meta"]["written_by"], "root");
    assert_eq!(listed[0]["meta"]["generation"], 2);

    root.delete(path).await.is(200);
    ada.get("/api/v1/packages").await.refused(403, "forbidden");
    root.delete(path).await.refused(404, "not_found");
    root.get(path).await.refused(404, "not_found");

    let wrong = json!({"name": "x", "role": "king", "packages": ["*-shop"], "subjects": []});
    let problem = root.post("/api/v1/role-bindings", wrong).await.refused(400, "invalid_document");
    assert!(problem["errors"].as_array().unwrap().len() >= 2, "{problem}");
    let nobody = json!({"name": "x", "role": "viewer"});
    root.post("/api/v1/role-bindings", nobody).await.refused(400, "invalid_document");
    root.put(path, json!({"name": "y", "role": "viewer", "subjects": ["a"]}))
        .await
        .refused(400, "name_mismatch");
}

/// Who is admin by the environment stays so, and nobody else makes himself one.
#[tokio::test]
async fn only_admins_of_all_packages_bind() {
    let world = World::guarded(guard()).await;
    world.bind(Role::Admin, "some", &["shop-*"]).await;
    world.bind(Role::Admin, "whole", &["*"]).await;
    let body = binding("mine", Role::Admin, "some", &["*"]);
    let some = world.by("some", &[]);
    some.put("/api/v1/role-bindings/mine", body.clone()).await.refused(403, "forbidden");
    some.put("/api/v1/packages/shop-a", package("shop-a")).await.is(201);
    world.by("whole", &[]).put("/api/v1/role-bindings/mine", body).await.is(201);
    world.by("x", &["wheel"]).get("/api/v1/role-bindings").await.is(200);
    for name in ["mine", "some-admin", "whole-admin"] {
        world.by("x", &["wheel"]).delete(&format!("/api/v1/role-bindings/{name}")).await.is(200);
    }
    world.root().get("/api/v1/role-bindings").await.is(200);
}

#[tokio::test]
async fn callers_learn_who_they_are() {
    let world = World::guarded(guard()).await;
    world.bind(Role::Developer, "ada", &["shop-*"]).await;
    let who = world.by("ada", &["team"]).get("/api/v1/whoami").await.is(200).json();
    assert_eq!(
        who,
        json!({
            "subject": "ada", "groups": ["team"], "authenticated_by": "token",
            "roles": [{"role": "developer", "packages": ["shop-*"]}],
        })
    );
    let root = world.root().get("/api/v1/whoami").await.is(200).json();
    assert_eq!(root["roles"], json!([{"role": "admin", "packages": ["*"]}]));
    let open = World::new().await.get("/api/v1/whoami").await.is(200).json();
    assert_eq!(open["authenticated_by"], "anonymous");

    let ada = world.by("ada", &[]);
    for (query, want) in [
        ("verb=update&kind=packages&name=shop-a", true),
        ("verb=update&kind=package&name=lib", false),
        ("verb=create&kind=pkg", true),
        ("verb=update&kind=deployments&package_name=shop-a", false),
        ("verb=get&kind=clusters&name=east", true),
        ("verb=delete&kind=clusters&name=east", false),
        ("verb=get&kind=role-bindings", false),
    ] {
        let verdict = ada.get(&format!("/api/v1/can-i?{query}")).await.is(200).json();
        assert_eq!(verdict["allowed"], want, "{query}");
        assert_eq!(verdict["reason"].is_string(), !want, "{query}");
    }
    ada.get("/api/v1/can-i?verb=update").await.refused(400, "invalid_parameter");
    ada.get("/api/v1/can-i?verb=eat&kind=packages").await.refused(400, "invalid_parameter");
    ada.get("/api/v1/can-i?verb=get&kind=packages&as=root").await.refused(400, "unknown_parameter");
}

/// A key that goes out of use takes its tokens with it, those that were known already too.
#[tokio::test]
async fn keys_rotate() {
    let ring = KeyRing::of(vec![Key::from_secret(SECRET).unwrap()]);
    let guard = Guard::new(ring.clone(), rules()).with_admins(["root".to_owned()], []);
    let world = World::guarded(guard).await;
    let root = world.root();
    root.get("/api/v1/packages").await.is(200);
    assert!(!ring.replace(vec![Key::from_secret(SECRET).unwrap()]), "these are the same");
    root.get("/api/v1/packages").await.is(200);
    ring.replace(vec![Key::from_secret(&[9; 32]).unwrap()]);
    root.get("/api/v1/packages").await.refused(401, "unauthenticated");
    ring.replace(vec![Key::from_secret(&[9; 32]).unwrap(), Key::from_secret(SECRET).unwrap()]);
    root.get("/api/v1/packages").await.is(200);
}

/// Before the keys or the roles are known, nobody is told that they may not.
#[tokio::test]
async fn what_is_not_known_yet_is_no_refusal() {
    let world = World::guarded(Guard::new(std::sync::Arc::default(), rules())).await;
    world.root().get("/api/v1/packages").await.refused(503, "not_ready");
    world.get("/api/v1/packages").await.refused(401, "unauthenticated");
}

/// A watch tells what its caller may see, and ends when they may no more.
#[tokio::test]
async fn watches_show_what_the_caller_may_see() {
    let world = three_packages().await;
    world.bind(Role::Viewer, "ada", &["shop-*"]).await;
    let ada = world.by("ada", &[]);
    let request = Request::get("/api/v1/watch").header("authorization", &ada.authorization);
    let request = request.body(Body::empty()).unwrap();
    let response = world.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut stream = response.into_body().into_data_stream();
    let mut told = String::new();
    let mut read_until = async |mark: &str| {
        let from = told.len();
        while !told[from..].contains(mark) {
            let next = tokio::time::timeout(Duration::from_secs(10), stream.next()).await;
            let Some(chunk) = next.expect("it comes in time") else { return (told.clone(), false) };
            told.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
        (told.clone(), true)
    };
    read_until("BOOKMARK").await;
    let newer = |name: &str| with(package(name), "version", json!("2"));
    world.root().put("/api/v1/packages/lib", newer("lib")).await.is(200);
    world.root().put("/api/v1/packages/shop-a", newer("shop-a")).await.is(200);
    let (told, _) = read_until("MODIFIED").await;
    assert!(told.contains("shop-a") && told.contains("x-shop-b"), "{told}");
    assert!(!told.contains("lib"), "{told}");
    world.root().delete("/api/v1/role-bindings/ada-viewer").await.is(200);
    // It is looked at once a second, when there is something to tell.
    let begun = tokio::time::Instant::now();
    for n in 0.. {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not end");
        let version = with(package("shop-b"), "version", json!(n.to_string()));
        world.root().put("/api/v1/packages/shop-b", version).await.is(200);
        if !read_until("MODIFIED").await.1 {
            break;
        }
    }
    ada.get("/api/v1/watch").await.refused(403, "forbidden");
}
