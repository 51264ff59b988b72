//! Taking and removing units.

use reqwest::StatusCode;
use serde_json::json;

use crate::target::target;

#[tokio::test]
async fn health_names_the_cluster_and_says_how_it_is() {
    let crm = target().await;
    let health = crm.get("/api/v1/health").await.body;
    let statuses = ["HEALTHY", "DEGRADED", "UNHEALTHY"];
    assert!(statuses.contains(&health["status"].as_str().unwrap()), "{health}");
    assert!(!crm.cluster.is_empty());
    if let Some(availability) = health["availability"].as_f64() {
        assert!((0.0..=1.0).contains(&availability), "{health}");
    }
}

#[tokio::test]
async fn a_unit_is_made_once_however_often_it_is_sent() {
    let crm = target().await;
    let made = crm.take("a", 1, StatusCode::CREATED).await;
    assert_eq!(made.body["id"], crm.id("a"), "{made:?}");
    assert!(made.body["status"].is_string(), "{made:?}");
    crm.take("a", 1, StatusCode::OK).await;
    crm.take("a", 1, StatusCode::OK).await;
    let path = format!("/api/v1/deployment-records?package={}", crm.tag);
    let page = crm.get(&path).await.body;
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "{page}");
    crm.remove("a", 1).await;
}

#[tokio::test]
async fn a_changed_unit_replaces_the_old_one() {
    let crm = target().await;
    crm.take("a", 1, StatusCode::CREATED).await;
    crm.take("a", 2, StatusCode::OK).await;
    crm.wait_until("a", |record| record.unwrap()["spec_hash"] == "hash-2").await;
    let status = crm.get(&format!("/api/v1/deployments/{}", crm.id("a"))).await;
    assert_eq!(status.status, StatusCode::OK, "{status:?}");
    assert_eq!(status.body["generation"], 2, "{status:?}");
    crm.remove("a", 2).await;
}

#[tokio::test]
async fn a_record_tells_what_was_sent() {
    let crm = target().await;
    let unit = crm.unit("a", 4);
    assert_eq!(crm.post(&unit).await.status, StatusCode::CREATED);
    let path = format!("/api/v1/deployment-records/{}", crm.id("a"));
    let record = crm.get(&path).await.body;
    let same = ["id", "deployment_key", "package_name", "class_key", "owner", "generation"];
    for field in same.into_iter().chain(["spec_hash"]) {
        assert_eq!(record[field], unit[field], "{field}: {record}");
    }
    assert_eq!(record["cluster_name"], crm.cluster, "{record}");
    assert_eq!(record["target_environment"], crm.cluster, "{record}");
    for time in ["created_at", "updated_at"] {
        assert!(record[time].as_str().unwrap().ends_with('Z'), "{time}: {record}");
    }
    crm.remove("a", 4).await;
}

#[tokio::test]
async fn a_unit_comes_to_run() {
    let crm = target().await;
    // What it takes to run something real is not this suite's to know.
    if !crm.offers("simulated") {
        return;
    }
    crm.take("a", 1, StatusCode::CREATED).await;
    crm.wait_until("a", |record| record.unwrap()["status"]["condition"] == "RUNNING").await;
    let status = crm.get(&format!("/api/v1/deployments/{}", crm.id("a"))).await.body;
    assert_eq!(status["observed_generation"], 1, "{status}");
    assert_eq!(status["status"], "RUNNING", "{status}");
    let record = crm.get(&format!("/api/v1/deployment-records/{}", crm.id("a"))).await.body;
    assert_eq!(record["status"]["functions"][0]["ready"], true, "{record}");
    assert_eq!(record["runtime"].as_array().unwrap().len(), 1, "{record}");
    crm.remove("a", 1).await;
}

#[tokio::test]
async fn a_deleted_unit_has_a_record_until_it_is_gone() {
    let crm = target().await;
    crm.take("a", 1, StatusCode::CREATED).await;
    let begun = crm.delete(&crm.id("a"), 1).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{begun:?}");
    crm.wait_until("a", |record| {
        let is_told = record.is_none_or(|record| record["status"]["condition"] == "DELETED");
        assert!(is_told, "{record:?}");
        record.is_none()
    })
    .await;
    let gone = crm.get(&format!("/api/v1/deployments/{}", crm.id("a"))).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND, "{gone:?}");
    let again = crm.delete(&crm.id("a"), 1).await;
    assert!([204, 404].contains(&again.status.as_u16()), "{again:?}");
}

#[tokio::test]
async fn fields_that_are_not_known_are_ignored() {
    let crm = target().await;
    let mut unit = crm.unit("a", 1);
    unit["from_the_future"] = json!({"a": [1]});
    unit["functions"][0]["from_the_future"] = json!(true);
    let answer = crm.post(&unit).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    crm.remove("a", 1).await;
}

#[tokio::test]
async fn null_is_absent_for_optional_fields() {
    let crm = target().await;
    let mut unit = crm.unit("a", 1);
    for field in [
        "package_version",
        "function_bindings",
        "state_spec",
        "odgm_config",
        "selected_template",
        "telemetry",
        "nfr_requirements",
        "restart",
    ] {
        unit[field] = json!(null);
    }
    for field in ["config", "secrets", "qos_requirement", "available_location"] {
        unit["functions"][0][field] = json!(null);
    }
    unit["functions"][0]["replicas"]["max"] = json!(null);
    for field in ["wasm_module_url", "max_concurrency", "need_http2", "min_scale"] {
        unit["functions"][0]["provision_config"][field] = json!(null);
    }
    let answer = crm.post(&unit).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    // The same without the fields is the same unit.
    crm.take("a", 1, StatusCode::OK).await;
    crm.remove("a", 1).await;
    unit["functions"] = json!(null);
    unit["id"] = json!(crm.id("b"));
    let answer = crm.post(&unit).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    crm.remove("b", 1).await;
}
