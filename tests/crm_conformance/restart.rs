//! What survives a restart. Only asked of a CRM that the suite can restart: the reference.

use reqwest::StatusCode;

use crate::target::{Target, check_problem, is_foreign, ours};

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
