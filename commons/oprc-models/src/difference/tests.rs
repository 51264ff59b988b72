//! Tests of what is told to differ.

use serde_json::{Value, json};

use super::{MAX_CHANGES, MAX_DEPTH, between};

/// The changes as `pointer old new`, `-` for what is not there.
fn told(old: &Value, new: &Value) -> Vec<String> {
    let text = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), ToString::to_string);
    let found = between(old, new);
    assert!(!found.is_cut);
    let lines = found.changes.iter();
    lines
        .map(|change| format!("{} {} {}", change.pointer, text(&change.old), text(&change.new)))
        .collect()
}

#[test]
fn changes_by_pointer() {
    let table: &[(Value, Value, &[&str])] = &[
        (json!({}), json!({}), &[]),
        (json!({"a": 1}), json!({"a": 1.0}), &["/a 1 1.0"]),
        (json!({"a": 1, "b": 2}), json!({"b": 3, "c": null}), &["/a 1 -", "/b 2 3", "/c - null"]),
        (json!({"a": {"b/c": {"~": 1}}}), json!({"a": {"b/c": {"~": 2}}}), &["/a/b~1c/~0 1 2"]),
        (json!({"a": {"b": 1}}), json!({"a": [1]}), &[r#"/a {"b":1} [1]"#]),
        (json!(1), json!(2), &[" 1 2"]),
        // One put in, one taken out, one changed: each as itself.
        (json!([1, 2, 3]), json!([1, 9, 2, 3]), &["/1 - 9"]),
        (json!([1, 2, 3]), json!([1, 3]), &["/1 2 -"]),
        (json!([1, {"k": 2}, 3]), json!([1, {"k": 4}, 3]), &["/1/k 2 4"]),
        (json!([1, 1]), json!([1]), &["/1 1 -"]),
        (json!([1, 2]), json!([2, 1]), &["/0 1 2", "/1 2 1"]),
        (json!([1, 2, 3]), json!([4]), &["/0 1 4", "/1 2 -", "/2 3 -"]),
    ];
    for (old, new, want) in table {
        assert_eq!(told(old, new), *want, "{old} to {new}");
    }
}

#[test]
fn there_is_a_limit() {
    let numbers = |from: usize| (from..from + 2 * MAX_CHANGES).collect::<Vec<_>>();
    let found = between(&json!(numbers(0)), &json!(numbers(1_000_000)));
    assert!(found.is_cut);
    assert_eq!(found.changes.len(), MAX_CHANGES);
    // However deep, it ends.
    let deep = |leaf: Value| (0..500).fold(leaf, |inner, _| json!([inner]));
    let found = between(&deep(json!(1)), &deep(json!(2)));
    assert_eq!(found.changes.len(), 1);
    assert_eq!(found.changes[0].pointer, "/0".repeat(MAX_DEPTH));
}

/// Elements with a key are told apart by it, wherever they stand.
#[test]
fn keyed_elements_are_compared_by_key() {
    let functions = |keys: &[(&str, u32)]| {
        let function = |(key, port): &(&str, u32)| json!({ "key": key, "port": port });
        json!({ "functions": keys.iter().map(function).collect::<Vec<_>>() })
    };
    let before = functions(&[("a", 1), ("b", 2), ("c", 3)]);
    for (after, want) in [
        (functions(&[("c", 3), ("b", 2), ("a", 1)]), vec![]),
        (functions(&[("c", 3), ("a", 7), ("b", 2)]), vec!["/functions/1/port 1 7"]),
        (functions(&[("c", 3), ("a", 1)]), vec![r#"/functions/1 {"key":"b","port":2} -"#]),
        (
            functions(&[("d", 4), ("c", 3), ("b", 2), ("a", 1)]),
            vec![r#"/functions/0 - {"key":"d","port":4}"#],
        ),
    ] {
        assert_eq!(told(&before, &after), want, "{after}");
    }
    let envs = |names: &[&str]| json!({ "target_envs": names });
    assert_eq!(told(&envs(&["a", "b"]), &envs(&["b", "a"])), [""; 0]);
    assert_eq!(
        told(&envs(&["a", "b"]), &envs(&["b", "c"])),
        ["/target_envs/1 - \"c\"", "/target_envs/0 \"a\" -"]
    );
    assert_eq!(told(&envs(&["a"]), &envs(&["b"])), ["/target_envs/0 \"a\" \"b\""]);
    // Without a key that is unique, the place counts.
    let twice = functions(&[("a", 1), ("a", 2)]);
    assert_eq!(told(&twice, &functions(&[("a", 2), ("a", 1)])).len(), 2);
    let parameters = |names: &[&str]| json!({ "parameters": names });
    assert_eq!(told(&parameters(&["a", "b"]), &parameters(&["b", "a"])).len(), 2);
}
