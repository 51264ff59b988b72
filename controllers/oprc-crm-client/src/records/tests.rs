//! Pages and events with records that cannot be read, and with `null` for what is optional.

mod nulls;

use serde_json::json;

use super::*;

fn record(id: &str, owner: &Value) -> Value {
    json!({
        "id": id, "deployment_key": "shop.cart", "package_name": "shop", "class_key": "Cart",
        "target_environment": "east", "cluster_name": "east", "owner": owner,
        "status": {"condition": "RUNNING", "last_updated": "2024-01-01T00:00:00Z"},
        "created_at": "2024-01-01T00:00:00Z", "updated_at": "2024-01-01T00:00:00Z",
    })
}

/// Reads a page with a good record and `items`; `want` is how many are read, unreadable (with and
/// without an id) and skipped.
#[track_caller]
fn check(items: &[Value], want: (usize, usize, usize, u64)) {
    let mut all = vec![record("cart-1", &json!("us"))];
    all.extend_from_slice(items);
    let body = json!({"items": all, "continue": "", "revision": 7}).to_string();
    let (page, skipped) = page(body.as_bytes(), "us").unwrap();
    assert_eq!((page.revision, &page.r#continue), (7, &None));
    let n_named = page.unreadable.iter().filter(|record| record.id.is_some()).count();
    let n_nameless = page.unreadable.len() - n_named;
    assert_eq!((page.items.len(), n_named, n_nameless, skipped), want, "{items:?}");
}

#[test]
fn unreadable_record_hides_no_other_and_only_strangers_are_skipped() {
    let garbled = |owner: Value| record("NOT AN ID", &owner);
    check(&[], (1, 0, 0, 0));
    check(&[record("cart-2", &json!("them"))], (2, 0, 0, 0));
    check(&[garbled(json!("them")), garbled(json!(""))], (1, 0, 0, 2));
    check(&[json!({"name": "of another API"})], (1, 0, 0, 1));
    check(&[garbled(json!("us"))], (1, 0, 1, 0));
    check(&[garbled(json!(7)), garbled(Value::Null)], (1, 0, 2, 0));
    check(&[json!("text"), Value::Null], (1, 0, 2, 0));
    let mut without_time = record("cart-2", &json!("us"));
    without_time["updated_at"] = json!("");
    check(&[without_time, record("cart-3", &json!("us"))], (2, 1, 0, 0));
}

#[test]
fn unknown_run_state_reads_as_unknown() {
    use oprc_models::record::RunCondition;
    let mut restarting = record("cart-1", &json!("us"));
    restarting["status"]["condition"] = json!("RESTARTING");
    let body = json!({"items": [restarting, record("cart-2", &json!("us"))]}).to_string();
    let (page, _) = page(body.as_bytes(), "us").unwrap();
    let conditions: Vec<_> = page.items.iter().map(|item| item.status.condition).collect();
    assert_eq!(conditions, [RunCondition::Unknown, RunCondition::Running]);
    restarting["status"]["condition"] = json!(7);
    check(&[restarting], (1, 1, 0, 0));
}

#[test]
fn continue_that_is_too_long_is_garbage() {
    let body = json!({"items": [], "continue": "x".repeat(MAX_TOKEN_BYTES + 1)}).to_string();
    assert!(page(body.as_bytes(), "us").is_err());
}

#[test]
fn page_must_be_a_page() {
    for body in ["", "[]", "{}", r#"{"items": {}}"#, r#"{"items": [], "revision": "x"}"#, "<html>"]
    {
        assert!(page(body.as_bytes(), "us").is_err(), "{body}");
    }
    assert!(page(br#"{"items": null}"#, "us").is_err());
    assert!(page(br#"{"items": []}"#, "us").is_ok());
}

#[test]
fn event_is_read_or_becomes_a_bookmark_or_is_garbage() {
    use RecordEventType::{Added, Bookmark};
    let check = |event: Value, want: Option<RecordEventType>| {
        let got = super::event(event.to_string().as_bytes(), "us");
        assert_eq!(got.ok().map(|event| event.r#type), want, "{event}");
    };
    let ours = record("cart-1", &json!("us"));
    check(json!({"type": "ADDED", "revision": 7, "record": ours}), Some(Added));
    check(json!({"type": "BOOKMARK", "revision": 7}), Some(Bookmark));
    check(json!({"type": "DELETED", "revision": 7}), None);
    check(json!({"type": "RENAMED", "revision": 7, "record": ours}), None);
    let theirs = record("NOT AN ID", &json!("them"));
    check(json!({"type": "ADDED", "revision": 7, "record": theirs}), Some(Bookmark));
    let garbled = record("NOT AN ID", &json!("us"));
    check(json!({"type": "ADDED", "revision": 7, "record": garbled}), None);
    check(json!("text"), None);
}
