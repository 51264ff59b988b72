//! Listings: complete, of one revision, filtered.

use reqwest::StatusCode;
use serde_json::Value;

use crate::target::{Target, check_problem, target};

/// All pages of a listing.
async fn pages(crm: &Target, query: &str) -> Vec<Value> {
    let (mut pages, mut next) = (Vec::new(), String::new());
    loop {
        let answer = crm.get(&format!("/api/v1/deployment-records?{query}{next}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let token = answer.body["continue"].as_str().map(ToOwned::to_owned);
        pages.push(answer.body);
        let Some(token) = token else { return pages };
        assert!(pages.len() < 1_000, "the listing does not end");
        next = format!("&continue={token}");
    }
}

/// The ids of a listing without this test's tag, in order.
fn names(crm: &Target, pages: &[Value]) -> Vec<String> {
    let items = pages.iter().flat_map(|page| page["items"].as_array().unwrap());
    let mut names: Vec<_> = items
        .map(|record| record["id"].as_str().unwrap())
        .filter_map(|id| id.strip_prefix(&format!("{}-", crm.tag)).map(ToOwned::to_owned))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_listing_is_complete_when_a_page_has_no_continue() {
    let crm = target().await;
    let all = ["a", "b", "c", "d", "e"];
    for name in all {
        crm.take(name, 1, StatusCode::CREATED).await;
    }
    for limit in [1, 2, 5, 100] {
        let pages = pages(&crm, &format!("package={}&limit={limit}", crm.tag)).await;
        assert_eq!(names(&crm, &pages), all, "limit {limit}");
        for page in &pages {
            assert!(page["items"].as_array().unwrap().len() <= limit, "{page}");
            assert_eq!(page["revision"], pages[0]["revision"], "pages are of one revision");
        }
    }
    assert_eq!(names(&crm, &pages(&crm, "").await), all);
    for name in all {
        crm.remove(name, 1).await;
    }
}

#[tokio::test]
async fn what_changes_during_a_listing_is_not_half_in_it() {
    let crm = target().await;
    for name in ["a", "b", "c"] {
        crm.take(name, 1, StatusCode::CREATED).await;
    }
    let first = crm.get(&format!("/api/v1/deployment-records?package={}&limit=1", crm.tag)).await;
    crm.take("d", 1, StatusCode::CREATED).await;
    crm.remove("c", 1).await;
    let token = first.body["continue"].as_str().unwrap();
    let rest = format!("package={}&limit=100&continue={token}", crm.tag);
    let mut pages = pages(&crm, &rest).await;
    pages.push(first.body);
    assert_eq!(names(&crm, &pages), ["a", "b", "c"], "as of the first page");
    for name in ["a", "b", "d"] {
        crm.remove(name, 1).await;
    }
}

#[tokio::test]
async fn each_filter_keeps_what_it_names() {
    let crm = target().await;
    let tag = &crm.tag;
    crm.take("a", 1, StatusCode::CREATED).await;
    let mut other = crm.unit("b", 1);
    other["class_key"] = "Other".into();
    other["owner"] = format!("other-{tag}").into();
    assert_eq!(crm.post(&other).await.status, StatusCode::CREATED);
    let cases: [(String, &[&str]); 8] = [
        (format!("package={tag}"), &["a", "b"]),
        (format!("package={tag}&class=Other"), &["b"]),
        (format!("package={tag}&class=Nothing"), &[]),
        (format!("owner=other-{tag}"), &["b"]),
        (format!("owner=pm-{tag}&package={tag}"), &["a"]),
        (format!("env={}&package={tag}", crm.cluster), &["a", "b"]),
        (format!("env=no-such-cluster&package={tag}"), &[]),
        (format!("status=DELETED&package={tag}"), &[]),
    ];
    for (query, want) in cases {
        assert_eq!(names(&crm, &pages(&crm, &query).await), want, "{query}");
    }
    crm.remove("a", 1).await;
    crm.remove("b", 1).await;
}

#[tokio::test]
async fn a_query_that_makes_no_sense_is_refused() {
    let crm = target().await;
    for query in ["limit=0", "limit=x", "status=WELL", "continue=%00", "watch=perhaps"] {
        let answer = crm.get(&format!("/api/v1/deployment-records?{query}")).await;
        check_problem(&answer, 400, "invalid_request");
    }
    let answer = crm.get("/api/v1/deployment-records?limit=x&status=WELL").await;
    assert_eq!(answer.body["errors"].as_array().unwrap().len(), 2, "{answer:?}");
    let answer = crm.delete(&crm.id("a"), 1).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
    let path = "/api/v1/deployment-records/no-such-unit";
    check_problem(&crm.get(path).await, 404, "not_found");
}
