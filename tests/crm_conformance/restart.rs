//! What survives a restart. Only asked of a CRM that the suite can restart: the reference.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::target::{Target, check_problem, is_foreign, ours, send};

/// The same test's view of the CRM after a restart on the same folder.
async fn restart(crm: Target, dir: &str) -> Target {
    let Target { tag, running, .. } = crm;
    running.unwrap().shutdown().await.unwrap();
    let mut crm = start(dir).await;
    crm.tag = tag;
    crm
}

async fn start(dir: &str) -> Target {
    ours(&[("OPRC_CRM_STORAGE_TYPE", "embedded"), ("OPRC_CRM_DATA_DIR", dir)]).await
}

#[tokio::test]
async fn what_was_acknowledged_and_what_was_refused_outlive_a_restart() {
    if is_foreign() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let crm = start(dir).await;
    crm.take("a", 3, StatusCode::CREATED).await;
    crm.take("b", 5, StatusCode::CREATED).await;
    crm.remove("b", 6).await;
    let owner = format!("pm-{}", crm.tag);
    let post = |crm: &Target, generation: u64, term: u64| {
        let unit = crm.unit("c", generation);
        let request = crm.request(reqwest::Method::POST, "/api/v1/deployments").json(&unit);
        crate::target::send(request.header("oprc-owner", &owner).header("oprc-term", term))
    };
    assert_eq!(post(&crm, 1, 7).await.status, StatusCode::CREATED);

    let crm = restart(crm, dir).await;
    crm.wait_until("a", |record| record.unwrap()["status"]["condition"] == "RUNNING").await;
    check_problem(&crm.post(&crm.unit("a", 2)).await, 409, "stale_generation");
    check_problem(&crm.post(&crm.unit("b", 6)).await, 409, "stale_generation");
    check_problem(&post(&crm, 2, 6).await, 409, "stale_term");

    crm.delete(&crm.id("a"), 3).await;
    let crm = restart(crm, dir).await;
    crm.wait_until("a", |record| record.is_none()).await;
}

/// The way back from a term that locks the real leader out: see the page of the contract.
#[tokio::test]
async fn operator_forgets_a_term_and_the_leader_is_let_in() {
    if is_foreign() {
        return;
    }
    let crm = ours(&[("OPRC_CRM_TOKEN", "s3cret")]).await;
    let owner = format!("pm-{}", crm.tag);
    let post = |term: u64| {
        let unit = crm.unit("a", 1);
        let request = crm.request(Method::POST, "/api/v1/deployments").json(&unit);
        send(request.header("oprc-owner", &owner).header("oprc-term", term))
    };
    check_problem(&post(u64::MAX).await, 400, "implausible_term");
    assert_eq!(post(1 << 40).await.status, StatusCode::CREATED);
    check_problem(&post(7).await, 409, "stale_term");

    let path = format!("/api/v1/terms/{owner}");
    let anonymous = reqwest::Client::new().delete(format!("{}{path}", crm.url));
    check_problem(&send(anonymous).await, 401, "unauthorized");
    let terms = crm.get("/api/v1/terms").await.body;
    assert_eq!(terms["items"], json!([{"owner": owner, "term": 1_u64 << 40}]));
    let forget = || send(crm.request(Method::DELETE, &path));
    assert_eq!(forget().await.status, StatusCode::NO_CONTENT);
    check_problem(&forget().await, 404, "not_found");
    assert_eq!(post(7).await.status, StatusCode::OK);
}
