//! Never backwards: generations and terms.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::target::{Answer, Target, check_problem, send, target};

/// A call in the name and term of an owner: takes `unit`.
async fn post_as(crm: &Target, unit: &Value, owner: &str, term: u64) -> Answer {
    let mut unit = unit.clone();
    unit["owner"] = owner.into();
    let request = crm.request(Method::POST, "/api/v1/deployments").json(&unit);
    send(request.header("oprc-owner", owner).header("oprc-term", term)).await
}

async fn delete_as(crm: &Target, id: &str, generation: u64, owner: &str, term: u64) -> Answer {
    let path = format!("/api/v1/deployments/{id}?generation={generation}");
    let request = crm.request(Method::DELETE, &path);
    send(request.header("oprc-owner", owner).header("oprc-term", term)).await
}

#[track_caller]
fn check_stale(answer: &Answer, current: u64) {
    check_problem(answer, 409, "stale_generation");
    assert_eq!(answer.body["current_generation"], current, "{answer:?}");
}

#[tokio::test]
async fn an_older_generation_is_refused() {
    let crm = target().await;
    if !crm.offers("generations") {
        return;
    }
    crm.take("a", 5, StatusCode::CREATED).await;
    check_stale(&crm.post(&crm.unit("a", 4)).await, 5);
    check_stale(&crm.delete(&crm.id("a"), 4).await, 5);
    let path = format!("/api/v1/deployments/{}", crm.id("a"));
    assert_eq!(crm.get(&path).await.body["generation"], 5);
    crm.remove("a", 5).await;
}

#[tokio::test]
async fn a_generation_is_taken_with_one_hash() {
    let crm = target().await;
    if !crm.offers("generations") {
        return;
    }
    crm.take("a", 5, StatusCode::CREATED).await;
    let mut other = crm.unit("a", 5);
    other["spec_hash"] = "other".into();
    check_problem(&crm.post(&other).await, 409, "generation_conflict");
    crm.remove("a", 5).await;
}

#[tokio::test]
async fn a_newer_generation_of_the_same_moves_on_without_a_restart() {
    let crm = target().await;
    if !crm.offers("generations") || !crm.offers("simulated") {
        return;
    }
    crm.take("a", 1, StatusCode::CREATED).await;
    crm.wait_until("a", |record| record.unwrap()["status"]["condition"] == "RUNNING").await;
    let mut same = crm.unit("a", 2);
    same["spec_hash"] = "hash-1".into();
    let answer = crm.post(&same).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.body["status"], "RUNNING", "{answer:?}");
    let path = format!("/api/v1/deployments/{}", crm.id("a"));
    assert_eq!(crm.get(&path).await.body["observed_generation"], 2);
    crm.remove("a", 2).await;
}

#[tokio::test]
async fn a_deleted_generation_does_not_come_back() {
    let crm = target().await;
    if !crm.offers("generations") {
        return;
    }
    crm.take("a", 3, StatusCode::CREATED).await;
    let answer = crm.delete(&crm.id("a"), 4).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    check_stale(&crm.post(&crm.unit("a", 4)).await, 4);
    crm.wait_until("a", |record| record.is_none()).await;
    check_stale(&crm.post(&crm.unit("a", 3)).await, 4);
    check_stale(&crm.post(&crm.unit("a", 4)).await, 4);
    crm.take("a", 5, StatusCode::CREATED).await;
    check_stale(&crm.delete(&crm.id("a"), 4).await, 5);
    crm.remove("a", 5).await;
}

#[tokio::test]
async fn the_deletion_of_what_is_not_there_is_remembered() {
    let crm = target().await;
    if !crm.offers("generations") {
        return;
    }
    let answer = crm.delete(&crm.id("a"), 7).await;
    assert!([204, 404].contains(&answer.status.as_u16()), "{answer:?}");
    check_stale(&crm.post(&crm.unit("a", 7)).await, 7);
    crm.take("a", 8, StatusCode::CREATED).await;
    crm.remove("a", 8).await;
}

#[tokio::test]
async fn a_unit_in_deletion_is_revived_by_a_newer_generation() {
    let crm = target().await;
    if !crm.offers("generations") {
        return;
    }
    crm.take("a", 1, StatusCode::CREATED).await;
    crm.delete(&crm.id("a"), 1).await;
    let answer = crm.post(&crm.unit("a", 2)).await;
    assert!(answer.status.is_success(), "{answer:?}");
    let is_new = |record: Option<&Value>| {
        record.is_some_and(|record| {
            record["generation"] == 2 && record["status"]["condition"] != "DELETED"
        })
    };
    crm.wait_until("a", is_new).await;
    crm.remove("a", 2).await;
}

#[tokio::test]
async fn an_older_term_of_an_owner_is_refused() {
    let crm = target().await;
    if !crm.offers("terms") {
        return;
    }
    let (ours, others) = (format!("pm-{}-a", crm.tag), format!("pm-{}-b", crm.tag));
    let unit = |generation| crm.unit("a", generation);
    let taken = |answer: Answer| assert!(answer.status.is_success(), "{answer:?}");
    taken(post_as(&crm, &unit(1), &ours, 5).await);
    taken(post_as(&crm, &unit(2), &ours, 5).await);
    taken(post_as(&crm, &unit(3), &ours, 9).await);
    let stale = post_as(&crm, &unit(4), &ours, 8).await;
    check_problem(&stale, 409, "stale_term");
    // Optional: a Package Manager can do without.
    let is_told = stale.body["current_term"].is_u64();
    if is_told {
        assert_eq!(stale.body["current_term"], 9, "{stale:?}");
    }
    check_problem(&delete_as(&crm, &crm.id("a"), 4, &ours, 8).await, 409, "stale_term");
    let path = format!("/api/v1/deployments/{}", crm.id("a"));
    assert_eq!(crm.get(&path).await.body["generation"], 3);
    // Another owner's terms are its own.
    taken(post_as(&crm, &crm.unit("b", 1), &others, 1).await);
    taken(delete_as(&crm, &crm.id("b"), 1, &others, 1).await);
    taken(delete_as(&crm, &crm.id("a"), 3, &ours, 9).await);
}

#[tokio::test]
async fn a_refused_call_teaches_its_term_all_the_same() {
    let crm = target().await;
    if !crm.offers("terms") || !crm.offers("generations") {
        return;
    }
    let owner = format!("pm-{}", crm.tag);
    assert!(post_as(&crm, &crm.unit("a", 2), &owner, 1).await.status.is_success());
    let stale = post_as(&crm, &crm.unit("a", 1), &owner, 2).await;
    check_problem(&stale, 409, "stale_generation");
    check_problem(&post_as(&crm, &crm.unit("a", 3), &owner, 1).await, 409, "stale_term");
    let answer = delete_as(&crm, &crm.id("a"), 2, &owner, 2).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
}

#[tokio::test]
async fn health_says_which_term_of_the_caller_was_seen() {
    let crm = target().await;
    let owner = format!("oprc-pm/{}", crm.tag);
    let caller = async |term: Option<u64>| {
        let mut request = crm.request(Method::GET, "/api/v1/health").header("oprc-owner", &owner);
        if let Some(term) = term {
            request = request.header("oprc-term", term);
        }
        let answer = send(request).await;
        assert!(answer.status.is_success(), "{answer:?}");
        answer.body["caller"].clone()
    };
    let before = caller(None).await;
    if !crm.offers("terms") || before.is_null() {
        return;
    }
    // An observer is no sign of life, and a health check teaches no term.
    assert_eq!(caller(None).await, serde_json::json!({}));
    caller(Some(7)).await;
    let heard = caller(None).await;
    assert!(heard["term"].is_null() && heard["idle_secs"].is_u64(), "{heard}");
    assert!(post_as(&crm, &crm.unit("a", 1), &owner, 7).await.status.is_success());
    assert_eq!(caller(None).await["term"], 7);
    delete_as(&crm, &crm.id("a"), 1, &owner, 7).await;
}

#[tokio::test]
async fn a_term_comes_with_its_owner() {
    let crm = target().await;
    if !crm.offers("terms") {
        return;
    }
    let post = || crm.request(Method::POST, "/api/v1/deployments").json(&crm.unit("a", 1));
    let without = post();
    check_problem(&send(without.header("oprc-term", "1")).await, 400, "invalid_request");
    let another = post();
    let another = another.header("oprc-term", "1").header("oprc-owner", "somebody");
    check_problem(&send(another).await, 400, "invalid_unit");
}
