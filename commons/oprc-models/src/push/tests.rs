//! What a document's key may hold, and what is shown of it.

use serde_json::{Value, json};

use super::{Envelope, Fate};

fn meta(generation: u64) -> Value {
    let at = "2026-01-01T00:00:00Z";
    json!({"uid": "u", "generation": generation, "created_at": at, "updated_at": at})
}

fn intent() -> Value {
    json!({"push": "p", "since": 4, "meta": meta(2), "spec": "new"})
}

/// What `stored` is shown as: pending, committed, aborted.
#[track_caller]
fn check(stored: &Value, want: Result<[Option<&str>; 3], &str>) {
    let read = |fate| {
        let envelope: Envelope<String> = serde_json::from_value(stored.clone())?;
        let again = serde_json::to_value(&envelope)?;
        assert_eq!(again, *stored, "it is written as it was read");
        Ok::<_, serde_json::Error>(envelope.settled(fate).map(|stored| stored.spec))
    };
    let shown = [Fate::Pending, Fate::Committed, Fate::Aborted].map(read);
    match want {
        Ok(want) => {
            let shown = shown.map(|shown| shown.unwrap());
            assert_eq!(shown.each_ref().map(|shown| shown.as_deref()), want);
        }
        Err(want) => {
            for shown in shown {
                assert_eq!(shown.unwrap_err().to_string(), want);
            }
        }
    }
}

#[test]
fn a_key_and_what_is_shown_of_it() {
    let old = Some("old");
    check(&json!({"meta": meta(1), "spec": "old"}), Ok([old, old, old]));
    let both = json!({"meta": meta(1), "spec": "old", "intent": intent()});
    check(&both, Ok([old, Some("new"), old]));
    check(&json!({"intent": intent()}), Ok([None, Some("new"), None]));
    check(&json!({}), Err("missing field `meta`"));
    check(&json!({"spec": "old"}), Err("missing field `meta`"));
    check(&json!({"meta": meta(1), "intent": intent()}), Err("missing field `spec`"));
}
