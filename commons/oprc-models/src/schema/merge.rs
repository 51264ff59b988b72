//! Several types' fields in one object.

use schemars::Schema;
use serde_json::{Map, Value};

/// The schema of an object that has the fields of both.
pub(crate) fn merged(first: Schema, second: Schema) -> Schema {
    let mut members = into_members(first);
    for (name, member) in into_members(second) {
        match (members.get_mut(&name), member) {
            (Some(Value::Object(fields)), Value::Object(more)) => fields.extend(more),
            (Some(Value::Array(required)), Value::Array(more)) => required.extend(more),
            (Some(_), _) => {} // The first's description, and both are objects.
            (None, member) => drop(members.insert(name, member)),
        }
    }
    Schema::from(members)
}

fn into_members(schema: Schema) -> Map<String, Value> {
    match schema.to_value() {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
