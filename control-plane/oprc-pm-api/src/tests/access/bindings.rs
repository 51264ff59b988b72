//! Role bindings as documents, and what callers learn of their own.

use http::Method;
use oprc_models::role::Role;
use serde_json::json;

use super::{
    super::world::{World, package, with},
    binding,
};
use crate::auth::tests::guard;

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
