//! Pages and events with records that cannot be read.

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

/// Reads a page with a good record and `items`; `want` is how many are read and skipped.
#[track_caller]
fn check(items: &[Value], want: Option<(usize, u64)>) {
    let mut all = vec![record("cart-1", &json!("us"))];
    all.extend_from_slice(items);
    let body = json!({"items": all, "continue": "", "revision": 7}).to_string();
    let got = page(body.as_bytes(), "us");
    if let Ok((page, _)) = &got {
        assert_eq!((page.revision, &page.r#continue), (7, &None));
    }
    assert_eq!(got.ok().map(|(page, skipped)| (page.items.len(), skipped)), want, "{items:?}");
}

#[test]
fn only_strangers_may_be_garbled() {
    let garbled = |owner: Value| record("NOT AN ID", &owner);
    check(&[], Some((1, 0)));
    check(&[record("cart-2", &json!("them"))], Some((2, 0)));
    check(&[garbled(json!("them")), garbled(json!(""))], Some((1, 2)));
    check(&[json!({"name": "of another API"})], Some((1, 1)));
    check(&[garbled(json!("us"))], None);
    check(&[garbled(json!(7))], None);
    check(&[garbled(Value::Null)], None);
    check(&[json!("text")], None);
    check(&[Value::Null], None);
}

#[test]
fn page_must_be_a_page() {
    for body in ["", "[]", "{}", r#"{"items": {}}"#, r#"{"items": [], "revision": "x"}"#, "<html>"]
    {
        assert!(page(body.as_bytes(), "us").is_err(), "{body}");
    }
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
