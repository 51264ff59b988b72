//! Objects and arrays, and their separators.

use serde_json::{Value, json};

use super::{Object, array};

#[track_caller]
fn check(parts: &[Value], want: &str) {
    let mut buffer = b"before ".to_vec();
    let mut object = Object::new(&mut buffer);
    for part in parts {
        object.members(part).unwrap();
    }
    object.field("end", &1).unwrap();
    object.end();
    assert_eq!(String::from_utf8(buffer).unwrap(), format!("before {want}"));
}

#[test]
fn members_are_joined() {
    let (a, b, none) = (json!({ "a": 1 }), json!({ "b": {} }), json!({}));
    check(&[], r#"{"end":1}"#);
    check(std::slice::from_ref(&none), r#"{"end":1}"#);
    check(std::slice::from_ref(&a), r#"{"a":1,"end":1}"#);
    check(&[none.clone(), a.clone()], r#"{"a":1,"end":1}"#);
    check(&[a, none, b], r#"{"a":1,"b":{},"end":1}"#);
    let mut buffer = Vec::new();
    Object::new(&mut buffer).end();
    assert_eq!(buffer, b"{}");
}

#[test]
fn arrays_end_when_they_are_long_enough() {
    for (max_bytes, want) in [(0, "[7]"), (3, "[7,7]"), (100, "[7,7,7]")] {
        let mut buffer = Vec::new();
        let n_items = array(&mut buffer, [7, 7, 7], max_bytes, |buffer, item| {
            buffer.extend(item.to_string().bytes());
            Ok(())
        });
        assert_eq!(String::from_utf8(buffer).unwrap(), want);
        assert_eq!(n_items.unwrap(), want.matches('7').count());
    }
}
