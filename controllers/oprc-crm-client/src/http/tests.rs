//! Calls of servers that keep the contract, and of servers that do all sorts of things instead.

mod hostile;
mod server;
mod tls;

use std::{path::Path, sync::Arc};

use futures::StreamExt as _;
use oprc_models::crm::RecordEventType;
use oprc_observability::Report;
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_json, header, header_exists, method, path, query_param},
};

use super::*;
use crate::{Secret, TokenSource};

fn options(endpoints: &[&str]) -> CrmOptions {
    CrmOptions {
        cluster: "east".parse().unwrap(),
        endpoints: endpoints.iter().map(|&endpoint| endpoint.to_owned()).collect(),
        token: TokenSource::None,
        ca_cert_path: None,
        client_cert_path: None,
        client_key_path: None,
        timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(10),
        max_in_flight: 4,
    }
}

fn crm(endpoints: &[&str]) -> HttpCrm {
    HttpCrm::new(options(endpoints)).unwrap()
}

/// One that waits for no more than `ms`.
fn hasty_crm(endpoints: &[&str], ms: u64) -> HttpCrm {
    let timeout = Duration::from_millis(ms);
    HttpCrm::new(CrmOptions { timeout, ..options(endpoints) }).unwrap()
}

fn caller() -> Caller {
    Caller { term: Some(7), owner: "pm".into(), correlation_id: Some("abc".into()) }
}

fn id() -> UnitId {
    "cart-4k9a2mz0qp".parse().unwrap()
}

fn unit() -> DeploymentUnit {
    serde_json::from_value(json!({
        "id": id(), "deployment_key": "shop.cart", "package_name": "shop", "class_key": "Cart",
        "target_env": "east", "generation": 3, "spec_hash": "x", "owner": "pm",
        "created_at": "2024-01-01T00:00:00Z",
    }))
    .unwrap()
}

fn record() -> Value {
    json!({
        "id": id(), "deployment_key": "shop.cart", "package_name": "shop", "class_key": "Cart",
        "target_environment": "east", "cluster_name": "east", "owner": "pm", "generation": 3,
        "status": {"condition": "RUNNING", "last_updated": "2024-01-01T00:00:00Z"},
        "created_at": "2024-01-01T00:00:00Z", "updated_at": "2024-01-01T00:00:00Z",
    })
}

fn health() -> Value {
    json!({"cluster_name": "east", "status": "HEALTHY"})
}

fn response() -> Value {
    json!({"id": id(), "status": "PENDING"})
}

/// A server that answers everything with `reply`.
async fn mock(reply: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(wiremock::matchers::any()).respond_with(reply).mount(&server).await;
    server
}

#[tokio::test]
async fn speaks_the_contract() {
    let server = MockServer::start().await;
    let expect = |verb: &str, at: &str| {
        Mock::given(method(verb))
            .and(path(format!("/crm/api/v1/{at}")))
            .and(header(TERM_HEADER, "7"))
            .and(header(OWNER_HEADER, "pm"))
            .and(header(CORRELATION_HEADER, "abc"))
            .and(header("authorization", "Bearer hunter2"))
            .and(header_exists("accept"))
    };
    let reply = |status, body: Value| ResponseTemplate::new(status).set_body_json(body);
    let at = format!("deployments/{}", id());
    let page = json!({"items": [record()], "continue": "next", "revision": 9, "more": 1});
    let (continued, generation) = (query_param("continue", "a&b"), query_param("generation", "3"));
    for mock in [
        expect("GET", "health").respond_with(reply(200, health())),
        expect("POST", "deployments")
            .and(body_json(unit()))
            .and(header("content-type", "application/json"))
            .respond_with(reply(201, response())),
        expect("DELETE", &at).and(generation).respond_with(ResponseTemplate::new(202)),
        expect("GET", "deployment-records")
            .and(continued)
            .and(query_param("limit", "5"))
            .respond_with(reply(200, page)),
    ] {
        mock.expect(1).mount(&server).await;
    }
    let token = TokenSource::Value(Secret::from("hunter2".to_owned()));
    let endpoint = format!("{}/crm", server.uri());
    let crm = HttpCrm::new(CrmOptions { token, ..options(&[&endpoint]) }).unwrap();

    assert_eq!(crm.health(&caller()).await.unwrap().cluster_name.as_str(), "east");
    assert_eq!(crm.apply(&caller(), &unit()).await.unwrap().id, id());
    assert_eq!(crm.delete(&caller(), &id(), 3).await.unwrap(), Deleted::Begun);
    let page = crm.list(&caller(), Some("a&b"), 5).await.unwrap();
    assert_eq!((page.items.len(), page.r#continue.as_deref(), page.revision), (1, Some("next"), 9));
}

#[tokio::test]
async fn deletion_is_begun_or_the_unit_observed_not_to_be_there() {
    use Deleted::{Begun, Gone};
    let json = ("application/problem+json", "{\"status\": 404}");
    let html = ("text/html", "<html>default backend");
    for (status, body, want) in [
        (202, None, Some(Begun)),
        (200, Some(json), Some(Begun)),
        (204, None, Some(Gone)),
        (404, None, Some(Gone)),
        (404, Some(json), Some(Gone)),
        (404, Some(html), None),
        (404, Some(("text/plain", "default backend - 404")), None),
    ] {
        let mut reply = ResponseTemplate::new(status);
        if let Some((mime, body)) = body {
            reply = reply.set_body_raw(body, mime);
        }
        let server = mock(reply).await;
        let got = crm(&[&server.uri()]).delete(&caller(), &id(), 3).await;
        match (got, want) {
            (Ok(got), Some(want)) => assert_eq!(got, want, "{status} {body:?}"),
            (Err(err), None) => assert!(err.may_have_been_done(), "{status} {body:?}: {err:?}"),
            (got, want) => panic!("{status} {body:?}: {got:?}, want {want:?}"),
        }
    }
}

/// Every call, answered with `reply`, ends in an error with the outcome `want`.
async fn check_all(reply: ResponseTemplate, want: &str) {
    let server = mock(reply).await;
    let crm = crm(&[&server.uri()]);
    let caller = caller();
    let outcomes = [
        crm.health(&caller).await.err(),
        crm.apply(&caller, &unit()).await.err(),
        crm.delete(&caller, &id(), 3).await.err(),
        crm.list(&caller, None, 5).await.err(),
        crm.watch(&caller, 9).await.err(),
    ];
    let outcomes = outcomes.map(|err| err.map(|err| err.outcome()));
    assert_eq!(outcomes, [Some(want); 5]);
}

#[tokio::test]
async fn every_call_takes_an_answer_the_same_way() {
    for (status, want) in [
        (302, "unanswered"),
        (400, "refused"),
        (401, "unauthorized"),
        (403, "refused"),
        (409, "stale"),
        (413, "refused"),
        (422, "refused"),
        (429, "busy"),
        (500, "unanswered"),
        (502, "unanswered"),
        (503, "busy"),
    ] {
        check_all(ResponseTemplate::new(status), want).await;
    }
}

#[tokio::test]
async fn answer_about_another_unit_and_endless_pages_are_garbage() {
    let another = json!({"id": "another", "status": "PENDING"});
    let server = mock(ResponseTemplate::new(200).set_body_json(another)).await;
    let err = crm(&[&server.uri()]).apply(&caller(), &unit()).await.unwrap_err();
    assert_eq!(err.outcome(), "unanswered");

    let page = json!({"items": [], "continue": "here"});
    let server = mock(ResponseTemplate::new(200).set_body_json(page)).await;
    let crm = crm(&[&server.uri()]);
    assert!(crm.list(&caller(), None, 5).await.is_ok());
    let err = crm.list(&caller(), Some("here"), 5).await.unwrap_err();
    assert_eq!(err.outcome(), "unanswered");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let target = MockServer::start().await;
    Mock::given(wiremock::matchers::any())
        .respond_with(ResponseTemplate::new(200).set_body_json(health()))
        .expect(0)
        .mount(&target)
        .await;
    for status in [301, 302, 307, 308] {
        let reply = ResponseTemplate::new(status).insert_header("location", target.uri().as_str());
        let server = mock(reply).await;
        let err = crm(&[&server.uri()]).health(&caller()).await.unwrap_err();
        assert!(Report(&err).to_string().contains("redirected"), "{err:?}");
    }
}

#[tokio::test]
async fn watch_brings_events_until_the_crm_ends_it() {
    let added = json!({"type": "ADDED", "revision": 10, "record": record()});
    let body = format!(
        ": hello\n\nevent: ADDED\ndata: {added}\n\ndata: {}\n\n",
        json!({"type": "BOOKMARK", "revision": 12})
    );
    let reply = ResponseTemplate::new(200).set_body_raw(body, "text/event-stream; charset=utf-8");
    let server = mock(reply).await;
    let events = crm(&[&server.uri()]).watch(&caller(), 9).await.unwrap();
    let events: Vec<_> = events.map(|event| event.unwrap()).collect().await;
    let events: Vec<_> = events.iter().map(|event| (event.r#type, event.revision)).collect();
    assert_eq!(events, [(RecordEventType::Added, 10), (RecordEventType::Bookmark, 12)]);
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests[0].url.query(), Some("watch=true&revision=9"));
}

#[tokio::test]
async fn watch_ends_with_the_first_garbage() {
    let body = "data: {\"type\": \"BOOKMARK\", \"revision\": 1}\n\ndata: {\n\ndata: {}\n\n";
    let server = mock(ResponseTemplate::new(200).set_body_raw(body, "text/event-stream")).await;
    let events = crm(&[&server.uri()]).watch(&caller(), 9).await.unwrap();
    let events: Vec<_> = events.map(|event| event.map_err(|err| err.outcome())).collect().await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[1], Err("unanswered"));
}

#[tokio::test]
async fn watch_of_a_revision_too_old_is_gone() {
    check_watch(ResponseTemplate::new(410), "gone").await;
    check_watch(ResponseTemplate::new(404), "refused").await;
    let page = json!({"items": [], "revision": 9});
    check_watch(ResponseTemplate::new(200).set_body_json(page), "unanswered").await;
}

async fn check_watch(reply: ResponseTemplate, want: &str) {
    let server = mock(reply).await;
    let err = crm(&[&server.uri()]).watch(&caller(), 9).await.err();
    assert_eq!(err.map(|err| err.outcome()), Some(want));
}

/// Replaces `path` so that its time differs, whatever the file system's granularity.
fn replace(path: &Path, content: &str) {
    let before = std::fs::metadata(path).and_then(|file| file.modified()).ok();
    std::fs::write(path, content).unwrap();
    if let Some(before) = before {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(before + Duration::from_secs(1)).unwrap();
    }
}

#[tokio::test]
async fn token_is_read_again_when_its_file_changes_or_is_turned_down() {
    let server = MockServer::start().await;
    for (token, status) in [("old", 401), ("new", 200), ("newer", 200)] {
        Mock::given(header("authorization", format!("Bearer {token}")))
            .respond_with(ResponseTemplate::new(status).set_body_json(health()))
            .mount(&server)
            .await;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let token = TokenSource::File(file.clone());
    let crm = HttpCrm::new(CrmOptions { token, ..options(&[&server.uri()]) }).unwrap();
    let outcome = async || crm.health(&caller()).await.err().map(|err| err.outcome());

    assert_eq!(outcome().await, Some("unauthorized"), "there is no file");
    std::fs::write(&file, "  \n").unwrap();
    assert_eq!(outcome().await, Some("unauthorized"), "the file is empty");
    std::fs::write(&file, "old\n").unwrap();
    assert_eq!(outcome().await, Some("unauthorized"), "the token is old");
    let written = std::fs::metadata(&file).unwrap().modified().unwrap();
    std::fs::write(&file, "new\n").unwrap();
    let handle = std::fs::File::options().write(true).open(&file).unwrap();
    handle.set_modified(written).unwrap();
    assert_eq!(outcome().await, None, "turned down: read again though it looks unchanged");

    std::fs::remove_file(&file).unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    assert_eq!(outcome().await, None, "the last good token is kept");
    replace(&file, "newer\n");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    assert_eq!(outcome().await, None);
    let requests = server.received_requests().await.unwrap();
    let last = requests.last().unwrap().headers.get("authorization").unwrap();
    assert_eq!(last, "Bearer newer", "a change is seen without a refusal");
}

#[tokio::test]
async fn changes_in_flight_are_bounded_and_probes_do_not_wait_behind_them() {
    let server = server::Server::start(server::Behaviour::Silent).await;
    let crm = Arc::new(hasty_crm(&[&server.url()], 60_000));
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let crm = crm.clone();
            tokio::spawn(async move { crm.apply(&caller(), &unit()).await })
        })
        .collect();
    server.wait_for_requests(4).await;
    let probe = tokio::spawn({
        let crm = crm.clone();
        async move { crm.health(&caller()).await }
    });
    // The probe arrives although 16 calls wait; they would have been there before it.
    server.wait_for_requests(5).await;
    assert_eq!(server.requests(), ["POST", "POST", "POST", "POST", "GET"]);
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    probe.abort();
}

#[tokio::test]
async fn call_that_found_no_room_in_time_was_not_made() {
    let server = server::Server::start(server::Behaviour::Silent).await;
    let options = CrmOptions { max_in_flight: 1, ..options(&[&server.url()]) };
    let crm = HttpCrm::new(CrmOptions { timeout: Duration::from_millis(300), ..options }).unwrap();
    let (caller, unit) = (caller(), unit());
    let (first, second) = tokio::join!(crm.apply(&caller, &unit), crm.apply(&caller, &unit));
    assert!(first.unwrap_err().may_have_been_done());
    let err = second.unwrap_err();
    assert_eq!(err.outcome(), "no_room");
    assert!(err.is_our_own());
    assert!(!err.may_have_been_done() && !err.counts_against_breaker());
    assert_eq!(server.requests().len(), 1);
}
