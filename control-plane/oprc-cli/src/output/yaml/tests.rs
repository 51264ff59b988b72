use serde_json::json;

use super::*;

/// What would be read as something else is quoted; numbers are numbers.
#[test]
fn quotes_what_is_ambiguous() {
    let value = json!({
        "a": "1.0", "b": "yes", "c": "null", "d": 3, "e": 0.5, "f": -1, "g": true, "h": "true",
        "i": [], "j": {}, "k": "08", "l": "a: b", "m": null, "n": ["x"], "o": "~", "p": "",
    });
    let text = to_text(&value).unwrap();
    assert!(
        text.contains("a: \"1.0\"\n") && text.contains("d: 3\ne: 0.5\nf: -1\ng: true\n"),
        "{text}"
    );
    // Read back by the documents' own reader, it is the same.
    let nodes =
        oprc_models::document::documents(text.as_bytes(), oprc_models::document::Format::Yaml)
            .unwrap();
    assert_eq!(nodes[0].to_json(), value, "{text}");
}
