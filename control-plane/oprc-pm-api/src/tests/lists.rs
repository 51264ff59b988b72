//! Lists: paging, filters, tags.

use http::Method;
use oprc_cp_storage::keys::Key;
use serde_json::{Value, json};

use super::world::{World, deployment, name, package, with};

fn names(list: &Value, field: &str) -> Vec<String> {
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item[field].as_str().unwrap().to_owned()).collect()
}

/// All pages of `path`, `limit` items each.
async fn pages(world: &World, path: &str, limit: usize, field: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut token = String::new();
    loop {
        let sign = if path.contains('?') { '&' } else { '?' };
        let page = world.get(&format!("{path}{sign}limit={limit}{token}")).await.is(200).json();
        pages.push(names(&page, field));
        assert!(page["revision"].is_u64());
        match page["continue"].as_str() {
            Some(next) => token = format!("&continue={next}"),
            None => return pages,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pages_hold_everything_once() {
    let world = World::new().await;
    assert_eq!(world.get("/api/v1/packages").await.is(200).json()["items"], json!([]));
    for n in 0..7 {
        world.post("/api/v1/packages", package(&format!("p{n}"))).await.is(201);
        let key = format!("d{n}");
        world.post("/api/v1/deployments", deployment(&key, &format!("p{}", n % 2))).await.is(201);
    }
    for (path, field) in [
        ("/api/v1/packages", "name"),
        ("/api/v1/deployments", "key"),
        ("/api/v1/classes", "package_name"),
        ("/api/v1/functions", "package_name"),
        ("/api/v1/deployments?package_name=p0", "key"),
        ("/api/v1/deployments?class_key=Cart", "key"),
    ] {
        for limit in [1, 3, 7, 1000] {
            let pages = pages(&world, path, limit, field).await;
            assert!(pages.iter().all(|page| !page.is_empty()), "{path}: {pages:?}");
            let all: Vec<String> = pages.concat();
            let expected = if path.contains("p0") { 4 } else { 7 };
            assert_eq!(all.len(), expected, "{path}: {all:?}");
            assert!(all.is_sorted(), "{path}: {all:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn filtered_pages_are_full_unless_they_are_the_last() {
    let world = World::new().await;
    for n in 0..3000 {
        let labels = json!({ "rare": if n == 2999 { "yes" } else { "no" } });
        let key = format!("d{n:04}");
        let spec = with(deployment(&key, "shop"), "labels", labels);
        let stored = json!({
            "meta": {
                "uid": key, "generation": 1,
                "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            },
            "spec": spec,
        });
        world.store(&Key::Deployment(name(&key)), &stored).await;
    }
    for filter in ["label=rare=yes", "label=rare!=no", "label=rare%20notin%20(no)", "name=d2999"] {
        let pages = pages(&world, &format!("/api/v1/deployments?{filter}"), 10, "key").await;
        assert_eq!(pages, [["d2999"]], "{filter}");
    }
    // Full pages, whether an index helps or not.
    for filter in ["label=rare=no", "label=rare!=yes", "label=rare&name=d", "condition=PENDING"] {
        let pages = pages(&world, &format!("/api/v1/deployments?{filter}"), 1000, "key").await;
        assert!(pages.iter().rev().skip(1).all(|page| page.len() == 1000), "{filter}");
        assert!(pages.concat().len() >= 2999, "{filter}");
    }
}

#[tokio::test(start_paused = true)]
async fn filters() {
    let world = World::new().await;
    let tagged = json!({ "tags": ["web", "eu"] });
    world.post("/api/v1/packages", with(package("shop"), "metadata", tagged)).await.is(201);
    let labelled = with(package("site"), "labels", json!({ "team": "blue", "a": "" }));
    world.post("/api/v1/packages", labelled).await.is(201);
    let placed = with(deployment("d1", "shop"), "target_envs", json!(["east"]));
    world.post("/api/v1/deployments", placed).await.is(201);
    let other = json!({ "key": "d2", "package_name": "site", "class_key": "Basket" });
    world.post("/api/v1/deployments", other).await.is(201);
    world.store(&Key::Unit(name("west"), name("d2")), &super::observed::unit("west", "d2")).await;
    let uid = world.meta("deployments/d2").await.unwrap().uid;
    let status = json!({ "uid": uid, "condition": "RUNNING", "observed_generation": 1 });
    world.store(&Key::DeploymentStatus(name("d2")), &status).await;

    let cases: [(&str, &[&str]); 29] = [
        ("packages?tag=web", &["shop"]),
        ("packages?tag=web&tag=eu", &["shop"]),
        ("packages?tag=web&tag=us", &[]),
        ("packages?label=team=blue", &["site"]),
        ("packages?label=team", &["site"]),
        ("packages?label=team=red", &[]),
        ("packages?label=a=&label=team=blue", &["site"]),
        ("packages?label=team==blue", &["site"]),
        ("packages?label=team%20in%20(red,blue)", &["site"]),
        ("packages?label=team=blue,a=", &["site"]),
        ("packages?label=team=blue,a=1", &[]),
        ("packages?label=team!=blue", &["shop"]),
        ("packages?label=!team", &["shop"]),
        ("packages?label=team%20notin%20(red)", &["shop", "site"]),
        ("packages?bundle=none", &[]),
        ("deployments?bundle=none", &[]),
        ("packages?name=it", &["site"]),
        ("packages?name=s", &["shop", "site"]),
        ("deployments?package_name=shop", &["d1"]),
        ("deployments?package_name=none", &[]),
        ("deployments?class_key=Basket", &["d2"]),
        ("deployments?target_env=east", &["d1"]),
        ("deployments?target_env=west", &["d2"]),
        ("deployments?condition=RUNNING", &["d2"]),
        ("deployments?condition=PENDING", &["d1"]),
        ("deployments?name=2", &["d2"]),
        ("deployments?package_name=site&condition=PENDING", &[]),
        ("classes?package_name=site", &["Cart"]),
        ("functions?name=ad", &["add", "add"]),
    ];
    for (query, expected) in cases {
        let list = world.get(&format!("/api/v1/{query}")).await.is(200).json();
        let field = if query.starts_with("packages") { "name" } else { "key" };
        assert_eq!(names(&list, field), expected, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn refused_queries() {
    let world = World::new().await;
    for n in 0..3 {
        world.post("/api/v1/packages", package(&format!("p{n}"))).await.is(201);
    }
    let page = world.get("/api/v1/packages?limit=1").await.json();
    let token = page["continue"].as_str().unwrap();
    let cases = [
        ("packages?limit=0", "invalid_parameter"),
        ("packages?limit=1001", "invalid_parameter"),
        ("packages?limit=-1", "invalid_parameter"),
        ("packages?limit=x", "invalid_parameter"),
        ("packages?limit=1&limit=2", "invalid_parameter"),
        ("packages?limt=1", "unknown_parameter"),
        ("packages?consistency=strong", "invalid_parameter"),
        ("packages?condition=RUNNING", "unknown_parameter"),
        ("deployments?condition=running", "invalid_parameter"),
        ("deployments?target_env=No%20Name", "invalid_parameter"),
        ("packages?continue=", "invalid_continue"),
        ("packages?continue=x", "invalid_continue"),
        ("packages?continue=1.0.61", "invalid_continue"),
        ("packages/p0?strict=1", "unknown_parameter"),
        ("packages/p0?nonsense", "unknown_parameter"),
    ];
    for (query, code) in cases {
        world.get(&format!("/api/v1/{query}")).await.refused(400, code);
    }
    // A token goes with its filters and its list.
    for query in [
        format!("packages?name=p&continue={token}"),
        format!("deployments?continue={token}"),
        format!("packages?continue={token}.61"),
        format!("packages?continue={token}f"),
        format!("packages?continue={}", "1".repeat(3000)),
    ] {
        world.get(&format!("/api/v1/{query}")).await.refused(400, "invalid_continue");
    }
    world.get(&format!("/api/v1/packages?limit=2&continue={token}")).await.is(200);
    let many = "label=a&".repeat(70);
    world.get(&format!("/api/v1/packages?{many}")).await.refused(400, "invalid_parameter");
    for selector in ["", "%20", "a=b=c", "a,", "a%20in%20x", "a%3E1", "a%20b"] {
        for list in ["packages", "deployments"] {
            let path = format!("/api/v1/{list}?label={selector}");
            let refused = world.get(&path).await.refused(400, "invalid_parameter");
            assert!(refused["detail"].as_str().unwrap().starts_with("label: "), "{refused}");
            world.get(&format!("{path}&watch=true")).await.refused(400, "invalid_parameter");
        }
    }
    world
        .put("/api/v1/packages/p0?dry_run=true", package("p0"))
        .await
        .refused(400, "unknown_parameter");
}

#[tokio::test(start_paused = true)]
async fn a_list_has_a_tag() {
    let world = World::new().await;
    world.post("/api/v1/packages", package("a")).await.is(201);
    let list = world.get("/api/v1/packages").await.is(200);
    let again = async |tag: &str| {
        world.call(Method::GET, "/api/v1/packages", &[("if-none-match", tag)], "").await
    };
    again(list.etag()).await.is(304);
    // What is not in the list does not change it.
    world.post("/api/v1/deployments", deployment("d", "a")).await.is(201);
    again(list.etag()).await.is(304);
    world.post("/api/v1/packages", package("b")).await.is(201);
    again(list.etag()).await.is(200);
}

#[tokio::test(start_paused = true)]
async fn a_page_of_large_documents_ends_early() {
    let world = World::new().await;
    let large = json!({ "description": "x".repeat(700_000) });
    for n in 0..20 {
        let name: String = format!("p{n:02}");
        let stored = json!({
            "meta": {
                "uid": name, "generation": 1,
                "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            },
            "spec": with(package(&name), "metadata", large.clone()),
        });
        world.store(&Key::Package(super::world::name(&name)), &stored).await;
    }
    let pages = pages(&world, "/api/v1/packages", 100, "name").await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [12, 8]);
    assert!(pages.concat().is_sorted());
}
