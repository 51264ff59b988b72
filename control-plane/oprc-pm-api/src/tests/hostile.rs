//! Input that nobody sends in good faith: a problem with a pointer, and nothing written.

use http::Method;
use serde_json::json;

use super::world::{World, deployment, package, with};

#[tokio::test(start_paused = true)]
async fn malformed_documents_are_refused_whole() {
    let world = World::new().await;
    let deep_json = format!("{{\"name\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_yaml = format!("name: {}", "[".repeat(100_000));
    let long = "n".repeat(254);
    let json_cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), ""),
        (b"{".to_vec(), ""),
        (b"null".to_vec(), ""),
        (b"[]".to_vec(), ""),
        (b"\"shop\"".to_vec(), ""),
        (b"{}".to_vec(), "/name"),
        (b"{\"name\":\"shop\",\"classes\":[{}]}".to_vec(), "/classes/0/key"),
        (b"{\"name\":\"shop\",\"classes\":7}".to_vec(), "/classes"),
        (b"{\"name\":\"shop\",\"classes\":[7]}".to_vec(), "/classes/0"),
        (b"{\"name\":[\"shop\"]}".to_vec(), "/name"),
        (b"{\"name\":\"\"}".to_vec(), "/name"),
        (b"{\"name\":\"..\"}".to_vec(), "/name"),
        (b"{\"name\":\"a/b\"}".to_vec(), "/name"),
        ("{\"name\":\"käse\"}".as_bytes().to_vec(), "/name"),
        (format!("{{\"name\":\"{long}\"}}").into_bytes(), "/name"),
        (b"{\"name\":\"\xff\xfe\"}".to_vec(), ""),
        (b"{\"name\":\"shop\",\"name\":\"shop\"}".to_vec(), ""),
        (deep_json.into_bytes(), ""),
        (b"{\"name\":\"shop\",\"functions\":[{\"key\":\"f\",\"provision_config\":{\"port\":99999999999999999999999}}]}".to_vec(), "/functions/0/provision_config/port"),
        (b"{\"name\":\"shop\",\"functions\":[{\"key\":\"f\",\"provision_config\":{\"min_scale\":-1}}]}".to_vec(), "/functions/0/provision_config/min_scale"),
        (b"{\"name\":\"shop\",\"functions\":[{\"key\":\"f\",\"function_type\":\"MAGIC\"}]}".to_vec(), "/functions/0/function_type"),
    ];
    let yaml_cases: Vec<(Vec<u8>, &str)> = vec![
        (deep_yaml.into_bytes(), ""),
        (b"name: [".to_vec(), ""),
        (b"a: &a [*a, *a]\nname: *a".to_vec(), ""),
        (b"--- \nname: a\n---\nname: b\n".to_vec(), ""),
        (b"name: shop\nclasses: {}\n".to_vec(), "/classes"),
    ];
    let before = world.revision().await;
    let cases = json_cases.into_iter().map(|case| ("application/json", case));
    let cases = cases.chain(yaml_cases.into_iter().map(|case| ("application/yaml", case)));
    for (media_type, (body, pointer)) in cases {
        let shown = String::from_utf8_lossy(&body).chars().take(60).collect::<String>();
        for (method, path) in
            [(Method::POST, "/api/v1/packages"), (Method::PUT, "/api/v1/packages/shop")]
        {
            let headers = [("content-type", media_type)];
            let reply = world.call(method, path, &headers, body.clone()).await;
            let problem = reply.refused(400, "invalid_document");
            let errors = problem["errors"].as_array().unwrap();
            assert!(!errors.is_empty(), "{shown}");
            if !pointer.is_empty() {
                assert!(errors.iter().any(|e| e["pointer"] == pointer), "{shown}: {problem}");
            }
        }
    }
    assert_eq!(world.revision().await, before, "nothing was written");
}

#[tokio::test(start_paused = true)]
async fn every_violation_is_told() {
    let world = World::new().await;
    let bad = json!({
        "key": "d", "package_name": "shop", "class_key": "Cart",
        "nfr_requirements": { "availability": 1.5, "min_throughput_rps": 0 },
        "target_envs": ["NOT A CLUSTER"],
    });
    let problem = world.put("/api/v1/deployments/d", bad).await.refused(400, "invalid_document");
    let errors = problem["errors"].as_array().unwrap();
    assert!(errors.len() >= 3, "{problem}");
}

#[tokio::test(start_paused = true)]
async fn large_bodies() {
    let world = World::new().await;
    let before = world.revision().await;
    let huge = with(package("shop"), "version", json!("x".repeat(2 << 20)));
    world.put("/api/v1/packages/shop", huge.clone()).await.refused(413, "body_too_large");
    // Refused though it never comes, where its size is told.
    let headers = [("content-length", "2000000")];
    let nothing = futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    let body = axum::body::Body::from_stream(nothing);
    let reply = world.call(Method::POST, "/api/v1/deployments", &headers, body).await;
    reply.refused(413, "body_too_large");
    // And where it is not told, after the limit.
    let chunks = std::iter::repeat_n("x".repeat(1 << 16), 1 << 10).map(Ok::<_, std::io::Error>);
    let body = axum::body::Body::from_stream(futures::stream::iter(chunks));
    let reply = world.call(Method::POST, "/api/v1/deployments", &[], body).await;
    reply.refused(413, "body_too_large");
    assert_eq!(world.revision().await, before);
}

#[tokio::test(start_paused = true)]
async fn hostile_paths() {
    let world = World::new().await;
    let long = "a".repeat(300);
    for name in ["%00", "a%2Fb", "..", ".", "%2e%2e", "a%20b", "k%C3%A4se", "-a", &long] {
        for kind in ["packages", "deployments"] {
            let path = format!("/api/v1/{kind}/{name}");
            let got = world.get(&path).await;
            assert!(matches!(got.status.as_u16(), 400 | 404), "{path}: {got:?}");
            assert_eq!(got.header("content-type"), "application/problem+json");
            let put = world.put(&path, deployment("d", "p")).await;
            assert!(put.status.is_client_error(), "{path}: {put:?}");
        }
    }
    let bytes = world.get("/api/v1/packages/%ff%fe").await;
    bytes.refused(400, "invalid_request");
    assert_eq!(world.revision().await, 0);
}
