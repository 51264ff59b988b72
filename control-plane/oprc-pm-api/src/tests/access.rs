//! The door: each role against each route, and which credentials are believed.

mod bindings;
mod bundles;
mod moved;
mod seen;
mod told;
mod written;

use std::collections::BTreeSet;

use http::Method;
use oprc_models::role::{Kind, Role, Verb};
use serde_json::{Value, json};

use super::world::{Reply, World, deployment, package};
use crate::{
    Limits,
    auth::{
        Guard, Key, KeyRing,
        routes::{Need, ROUTES},
        tests::{SECRET, guard, rules, token},
    },
};

/// A caller, by token.
pub(super) struct As<'w> {
    world: &'w World,
    authorization: String,
}

impl World {
    pub(super) fn by<'w>(&'w self, subject: &str, groups: &[&str]) -> As<'w> {
        As { world: self, authorization: format!("Bearer {}", token(subject, groups)) }
    }

    pub(super) fn root(&self) -> As<'_> {
        self.by("root", &[])
    }
}

impl As<'_> {
    pub(super) async fn send(&self, method: Method, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [("authorization", self.authorization.as_str())];
        self.world.call(method, path, &headers, body).await
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &Value::Null).await
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, &body).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, &body).await
    }

    pub(super) async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, &Value::Null).await
    }

    /// Every item of a list, a few on each page.
    pub(super) async fn list(&self, path: &str) -> Vec<Value> {
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
    pub(super) async fn bind(&self, role: Role, subject: &str, packages: &[&str]) {
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
                let want = if path == "/" { 303 } else { 200 };
                assert_eq!(nobody.status, want, "{path}");
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
