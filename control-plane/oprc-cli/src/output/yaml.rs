//! JSON values as YAML.

use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::{Number, Value};

use crate::error::Error;

/// `value` as a YAML document with an end of line. A text that YAML would take for something else
/// (`"1.0"`, `"yes"`) is quoted.
pub(crate) fn to_text(value: &Value) -> Result<String, Error> {
    let text = serde_saphyr::to_string(&Yaml(value));
    text.map_err(|err| Error::usage(format!("cannot be written as YAML: {err}")))
}

/// A value whose numbers are numbers to every serializer: `serde_json`'s own, which keep their
/// text, look like objects to all but itself.
struct Yaml<'a>(&'a Value);

impl Serialize for Yaml<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Number(number) => serialize_number(number, serializer),
            Value::String(text) => serializer.serialize_str(text),
            Value::Array(items) => serializer.collect_seq(items.iter().map(Yaml)),
            Value::Object(fields) => {
                serializer.collect_map(fields.iter().map(|(name, value)| (name, Yaml(value))))
            }
        }
    }
}

fn serialize_number<S: Serializer>(number: &Number, serializer: S) -> Result<S::Ok, S::Error> {
    if let Some(value) = number.as_u64() {
        serializer.serialize_u64(value)
    } else if let Some(value) = number.as_i64() {
        serializer.serialize_i64(value)
    } else if let Some(value) = number.as_f64() {
        serializer.serialize_f64(value)
    } else {
        Err(S::Error::custom("a number that is too large"))
    }
}

#[cfg(test)]
mod tests;
