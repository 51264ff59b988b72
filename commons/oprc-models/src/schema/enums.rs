//! Enumerations in the form that generators of clients read.
//!
//! A documented enumeration comes as `oneOf` of constants, one for each documented variant. Generators
//! make a union of strings of it, or refuse it; `enum` they all know.

use serde_json::{Map, Value, json};

/// Replaces each `oneOf` of strings in `schema` by one `enum`, whose description has the variants'.
pub(super) fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.values_mut().for_each(close);
            close_one(members);
        }
        Value::Array(elements) => elements.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn close_one(members: &mut Map<String, Value>) {
    let Some(options) = members.get("oneOf").and_then(Value::as_array) else { return };
    let Some(variants) = options.iter().map(variants).collect::<Option<Vec<_>>>() else { return };
    let variants = variants.concat();
    let own = members.get("description").and_then(Value::as_str);
    let told =
        variants.iter().filter_map(|(word, about)| Some(format!("- `{word}`: {}", (*about)?)));
    let told = told.collect::<Vec<_>>().join("\n");
    let description = [own.unwrap_or_default(), &told].join("\n\n").trim().to_owned();
    let words: Vec<String> = variants.iter().map(|(word, _)| (*word).to_owned()).collect();
    members.remove("oneOf");
    members.insert("type".to_owned(), "string".into());
    members.insert("enum".to_owned(), json!(words));
    if !description.is_empty() {
        members.insert("description".to_owned(), description.into());
    }
}

/// The words that `option` permits, with what it says of them; `None` if it is not of this form.
fn variants(option: &Value) -> Option<Vec<(&str, Option<&str>)>> {
    let members =
        option.as_object().filter(|members| members.get("type") == Some(&json!("string")))?;
    let about = members.get("description").and_then(Value::as_str);
    if let Some(word) = members.get("const") {
        return Some(vec![(word.as_str()?, about)]);
    }
    let words = members.get("enum")?.as_array()?;
    words.iter().map(|word| Some((word.as_str()?, about))).collect()
}
