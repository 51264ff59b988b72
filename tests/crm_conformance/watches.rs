//! Watches: every change once, in order, from any revision that was seen.

use futures::{StreamExt as _, stream::BoxStream};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use crate::target::{PATIENCE, Target, check_problem, target};

/// A watch, read event by event.
struct Watch {
    bytes: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    buffer: Vec<u8>,
}

impl Watch {
    async fn open(crm: &Target, revision: u64, query: &str) -> Self {
        let path = format!("/api/v1/deployment-records?watch=true&revision={revision}{query}");
        let response = crm.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { bytes: response.bytes_stream().boxed(), buffer: Vec::new() }
    }

    /// The next event: its `event:`, checked against its `data:`.
    async fn next(&mut self) -> Value {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let frame: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let frame = String::from_utf8(frame).unwrap();
                let field = |name: &str| {
                    frame.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
                };
                let data: Value = serde_json::from_str(field("data:").unwrap()).unwrap();
                assert_eq!(data["type"], field("event:").unwrap(), "{frame}");
                return data;
            }
            let bytes = timeout(PATIENCE, self.bytes.next()).await.unwrap();
            self.buffer.extend_from_slice(&bytes.expect("the watch ended").unwrap());
        }
    }

    /// The next event that is no bookmark: kind, id and revision.
    async fn change(&mut self) -> (String, String, u64) {
        loop {
            let event = self.next().await;
            let kind = event["type"].as_str().unwrap();
            if kind != "BOOKMARK" {
                let id = event["record"]["id"].as_str().unwrap();
                return (kind.to_owned(), id.to_owned(), event["revision"].as_u64().unwrap());
            }
        }
    }

    /// The changes up to the deletion of `id`.
    async fn until_deleted(&mut self, id: &str) -> Vec<(String, String, u64)> {
        let mut changes = Vec::new();
        loop {
            let change = self.change().await;
            let is_end = change.0 == "DELETED" && change.1 == id;
            changes.push(change);
            if is_end {
                return changes;
            }
        }
    }
}

async fn revision(crm: &Target) -> u64 {
    crm.get("/api/v1/deployment-records?limit=1").await.body["revision"].as_u64().unwrap()
}

#[tokio::test]
async fn a_life_is_told_in_order_and_can_be_resumed_anywhere() {
    let crm = target().await;
    if !crm.offers("watch") {
        return;
    }
    let (start, mine) = (revision(&crm).await, format!("&package={}", crm.tag));
    crm.take("a", 1, StatusCode::CREATED).await;
    crm.take("b", 1, StatusCode::CREATED).await;
    crm.take("a", 2, StatusCode::OK).await;
    crm.remove("b", 1).await;
    crm.remove("a", 2).await;

    let mut watch = Watch::open(&crm, start, &mine).await;
    let all = watch.until_deleted(&crm.id("a")).await;
    for id in [crm.id("a"), crm.id("b")] {
        let kinds: Vec<_> =
            all.iter().filter(|change| change.1 == id).map(|change| change.0.as_str()).collect();
        assert_eq!(kinds.first(), Some(&"ADDED"), "{all:?}");
        assert_eq!(kinds.last(), Some(&"DELETED"), "{all:?}");
        let between = &kinds[1..kinds.len() - 1];
        assert!(between.iter().all(|kind| *kind == "MODIFIED"), "{all:?}");
    }
    let revisions: Vec<_> = all.iter().map(|change| change.2).collect();
    assert!(revisions.is_sorted_by(|a, b| a < b), "each event has its own: {revisions:?}");

    for (seen, change) in all.iter().enumerate() {
        let rest = &all[seen + 1..];
        if !rest.is_empty() {
            let mut resumed = Watch::open(&crm, change.2, &mine).await;
            assert_eq!(resumed.until_deleted(&crm.id("a")).await, rest, "after {change:?}");
        }
    }
}

#[tokio::test]
async fn a_listing_and_a_watch_from_its_revision_miss_nothing() {
    let crm = target().await;
    if !crm.offers("watch") {
        return;
    }
    let n_units = 40;
    let taking = async {
        for number in 0..n_units {
            crm.take(&format!("u{number}"), 1, StatusCode::CREATED).await;
        }
    };
    let looking = async {
        let path = format!("/api/v1/deployment-records?package={}", crm.tag);
        let page = loop {
            let page = crm.get(&path).await.body;
            if !page["items"].as_array().unwrap().is_empty() {
                break page;
            }
        };
        assert!(page["continue"].is_null(), "{page}");
        let items = page["items"].as_array().unwrap();
        let mut seen: Vec<_> =
            items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
        let revision = page["revision"].as_u64().unwrap();
        let mut watch = Watch::open(&crm, revision, &format!("&package={}", crm.tag)).await;
        while seen.len() < n_units {
            let (kind, id, _) = watch.change().await;
            if kind == "ADDED" {
                assert!(!seen.contains(&id), "{id} was told twice");
                seen.push(id);
            }
        }
    };
    timeout(PATIENCE, async { tokio::join!(taking, looking) }).await.unwrap();
    for number in 0..n_units {
        crm.remove(&format!("u{number}"), 1).await;
    }
}

#[tokio::test]
async fn a_watch_filters_and_tells_of_those_that_leave_the_filter() {
    let crm = target().await;
    if !crm.offers("watch") || !crm.offers("simulated") {
        return;
    }
    let start = revision(&crm).await;
    let query = format!("&package={}&status=RUNNING", crm.tag);
    let mut watch = Watch::open(&crm, start, &query).await;
    crm.take("a", 1, StatusCode::CREATED).await;
    assert_eq!(watch.change().await.0, "ADDED", "when it came to run");
    crm.remove("a", 1).await;
    assert_eq!(watch.change().await.0, "DELETED", "when it ceased to run");
}

#[tokio::test]
async fn a_silent_watch_has_bookmarks() {
    let crm = target().await;
    if !crm.offers("watch") {
        return;
    }
    let start = revision(&crm).await;
    let mut watch = Watch::open(&crm, start, "&package=no-such-package").await;
    let event = watch.next().await;
    assert_eq!(event["type"], "BOOKMARK", "{event}");
    assert!(event["revision"].as_u64().unwrap() >= start, "{event}");
    assert!(event["record"].is_null(), "{event}");
}

#[tokio::test]
async fn a_revision_that_is_not_kept_is_refused() {
    let crm = target().await;
    if !crm.offers("watch") {
        return;
    }
    let far = revision(&crm).await + (1 << 40);
    let path = format!("/api/v1/deployment-records?watch=true&revision={far}");
    check_problem(&crm.get(&path).await, 410, "revision_expired");
}
