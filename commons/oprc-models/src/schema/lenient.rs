//! Schemas of what is written say less than the types do, those of what is answered more.

use serde_json::{Map, Value, json};

/// The largest number that every writer of JSON writes with digits alone.
const MAX_PLAIN_NUMBER: u64 = 1_000_000_000_000_000;

/// Makes the schema of a type that of what is read as one: a scalar is taken as its text, and null as
/// nothing.
pub(super) fn relax(schema: &mut Value) {
    each_below(schema, &mut relax);
    let Value::Object(members) = schema else { return };
    let required = members.get("required").cloned().unwrap_or_default();
    let is_required = |name: &str| {
        required.as_array().is_some_and(|names| names.iter().any(|known| known == name))
    };
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        let optional = properties.iter_mut().filter(|(name, _)| !is_required(name));
        optional.for_each(|(_, property)| allow_null(property));
    }
    take_scalars(members);
}

/// A text may be written as a number or a boolean.
fn take_scalars(members: &mut Map<String, Value>) {
    let is_closed = ["const", "enum"].iter().any(|word| members.contains_key(*word));
    if is_closed || !has_type(members, "string") {
        return;
    }
    let Some(pattern) = members.get("pattern").and_then(Value::as_str) else {
        let is_nullable = has_type(members, "null");
        let mut types = vec!["string", "number", "boolean"];
        types.extend(is_nullable.then_some("null"));
        members.insert("type".to_owned(), json!(types));
        return;
    };
    // Only text is held against a pattern: what a number's text is has to be said otherwise.
    let number = if super::is_label(pattern) { "integer" } else { "number" };
    let number = json!({ "type": number, "minimum": 0, "maximum": MAX_PLAIN_NUMBER });
    let description = members.remove("description");
    let text = Value::Object(std::mem::take(members));
    members.insert("anyOf".to_owned(), json!([text, number, { "type": "boolean" }]));
    members.extend(description.map(|text| ("description".to_owned(), text)));
}

fn has_type(members: &Map<String, Value>, name: &str) -> bool {
    match members.get("type") {
        Some(Value::String(only)) => only == name,
        Some(Value::Array(several)) => several.iter().any(|one| one == name),
        _ => false,
    }
}

fn allow_null(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    let nothing = json!({ "type": "null" });
    let is_enum = members.contains_key("enum");
    match members.get_mut("type") {
        Some(Value::Array(types)) if types.iter().any(|name| name == "null") => {}
        Some(Value::Array(types)) => types.push("null".into()),
        Some(Value::String(only)) if only == "null" => {}
        Some(only @ Value::String(_)) if !is_enum => {
            *only = json!([only, "null"]);
        }
        _ => match members.get_mut("anyOf") {
            Some(Value::Array(options)) if options.contains(&nothing) => {}
            Some(Value::Array(options)) => options.push(nothing),
            _ => {
                let description = members.remove("description");
                let own = Value::Object(std::mem::take(members));
                members.insert("anyOf".to_owned(), Value::Array(vec![own, nothing]));
                members.extend(description.map(|text| ("description".to_owned(), text)));
            }
        },
    }
}

/// Takes null out of a schema of what is answered: a field that has nothing to say is left out.
pub(super) fn forbid_null(schema: &mut Value) {
    each_below(schema, &mut forbid_null);
    let Value::Object(members) = schema else { return };
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            members.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(options)) = members.get_mut("anyOf") {
        options.retain(|option| *option != json!({ "type": "null" }));
        if let [Value::Object(only)] = options.as_slice() {
            let only = only.clone();
            members.remove("anyOf");
            only.into_iter().for_each(|(name, member)| {
                members.entry(name).or_insert(member);
            });
        }
    }
    // What is the default need not be told of what is always there.
    members.remove("default");
}

/// Calls `change` with each schema that is a part of `schema`.
fn each_below(schema: &mut Value, change: &mut dyn FnMut(&mut Value)) {
    let Value::Object(members) = schema else { return };
    for (name, member) in members {
        match (name.as_str(), member) {
            ("properties" | "patternProperties" | "$defs", Value::Object(named)) => {
                named.values_mut().for_each(&mut *change);
            }
            ("items" | "additionalProperties", member) => change(member),
            ("anyOf" | "oneOf" | "allOf", Value::Array(options)) => {
                options.iter_mut().for_each(&mut *change);
            }
            _ => {}
        }
    }
}
