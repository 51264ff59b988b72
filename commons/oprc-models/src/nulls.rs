//! JSON in which `null` stands for a field that is absent.
//!
//! The contract with CRMs allows `null` for every optional field. serde takes it for an `Option` and
//! refuses it for a field that merely has a default, so each such field would need an attribute of
//! its own. [`NullIsAbsent`] does it once for all fields of all structs below it.
//!
//! Only fields of structs are concerned: an element of an array and an entry of a map are data, so a
//! `null` there is what it was before, an error in most cases. A required field that is `null` is
//! missing.

use serde::{
    Deserializer,
    de::{
        DeserializeOwned, IntoDeserializer, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::{Error, Value};

/// Deserializes a value as if the struct fields that are `null` were not there.
#[derive(Clone, Debug)]
pub struct NullIsAbsent(pub Value);

impl NullIsAbsent {
    /// Reads a `T`.
    ///
    /// # Errors
    ///
    /// The value is no `T`.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, Error> {
        T::deserialize(self)
    }
}

impl<'de> IntoDeserializer<'de, Error> for NullIsAbsent {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn map<'de, V: Visitor<'de>>(
    fields: impl Iterator<Item = (String, Value)>,
    visitor: V,
) -> Result<V::Value, Error> {
    let mut map = MapDeserializer::new(fields.map(|(name, value)| (name, NullIsAbsent(value))));
    let value = visitor.visit_map(&mut map)?;
    map.end()?;
    Ok(value)
}

impl<'de> Deserializer<'de> for NullIsAbsent {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(elements) => {
                let mut seq = SeqDeserializer::new(elements.into_iter().map(NullIsAbsent));
                let value = visitor.visit_seq(&mut seq)?;
                seq.end()?;
                Ok(value)
            }
            Value::Object(entries) => map(entries.into_iter(), visitor),
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(fields) => {
                map(fields.into_iter().filter(|(_, value)| !value.is_null()), visitor)
            }
            other => Self(other).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        name: String,
        #[serde(default)]
        inner: Vec<Inner>,
        #[serde(default)]
        map: BTreeMap<String, Option<u32>>,
        #[serde(default)]
        any: Value,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Inner {
        count: u32,
        words: Vec<String>,
    }

    #[test]
    fn null_fields_are_absent_at_every_level() {
        let outer = json!({"name": "a", "inner": [{"count": null, "words": null}], "map": null});
        let want = json!({"name": "a", "inner": [{}]});
        let read = |value| NullIsAbsent(value).read::<Outer>().unwrap();
        assert_eq!(read(outer), read(want));
    }

    #[test]
    fn nulls_that_are_no_fields_stay() {
        let outer: Outer =
            NullIsAbsent(json!({"name": "a", "map": {"k": null}, "any": {"k": null}}))
                .read()
                .unwrap();
        assert_eq!(outer.map, BTreeMap::from([("k".to_owned(), None)]));
        assert_eq!(outer.any, json!({"k": null}));
        for wrong in [
            json!({"name": null}),
            json!({"name": "a", "inner": [null]}),
            json!({"name": "a", "inner": [{"words": [null]}]}),
            json!({"name": "a", "inner": {}}),
            json!(null),
        ] {
            assert!(NullIsAbsent(wrong.clone()).read::<Outer>().is_err(), "{wrong}");
        }
    }
}
