//! What differs between two documents, field by field, each told by its JSON pointer. Pure; it
//! knows no kind of document, and compares meaning (values), never text.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{canonical::identity, pointer};

/// The most changes that are told; of two documents that differ in more, the rest is cut.
pub const MAX_CHANGES: usize = 1000;

/// How deep fields are told apart. What lies deeper is compared as a whole.
const MAX_DEPTH: usize = 64;

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Change {
    /// Where, in both documents.
    pub pointer: String,
    /// What it was; none: it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// What it is; none: it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
}

/// What differs between two documents.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Difference {
    /// The fields that differ, in the order of the documents' names; empty: they are the same.
    pub changes: Vec<Change>,
    /// Whether there are more than [`MAX_CHANGES`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
}

impl Difference {
    /// Whether the documents are the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    fn add(&mut self, pointer: &str, old: Option<&Value>, new: Option<&Value>) {
        if self.changes.len() == MAX_CHANGES {
            self.is_cut = true;
            return;
        }
        let pointer = pointer.to_owned();
        self.changes.push(Change { pointer, old: old.cloned(), new: new.cloned() });
    }
}

/// What differs between `old` and `new`.
///
/// Objects are compared by name, and lists whose elements have a unique key by that key, in whatever
/// order they are: the pointer of a change has the place in the new document, or in the old one where
/// the element is gone. Of other sequences, what is the same at both ends is left aside, and the rest
/// is compared by position: an element that was put in or taken out is told as itself where it is the
/// only one that differs.
#[must_use]
pub fn between(old: &Value, new: &Value) -> Difference {
    let mut found = Difference::default();
    compare(&mut found, ("", ""), old, new, MAX_DEPTH);
    found
}

/// Compares the values of `field` at `at`.
fn compare(
    found: &mut Difference,
    (at, field): (&str, &str),
    old: &Value,
    new: &Value,
    depth: usize,
) {
    if old == new || found.is_cut {
        return;
    }
    match (old, new) {
        (Value::Object(old), Value::Object(new)) if depth > 0 => {
            objects(found, at, old, new, depth - 1);
        }
        (Value::Array(old), Value::Array(new)) if depth > 0 => {
            match (keyed(field, old), keyed(field, new)) {
                (Some(old), Some(new)) => sets(found, at, &old, &new, depth - 1),
                _ => sequences(found, at, old, new, depth - 1),
            }
        }
        (old, new) => found.add(at, Some(old), Some(new)),
    }
}

fn objects(
    found: &mut Difference,
    at: &str,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    depth: usize,
) {
    for (name, before) in old {
        let at = pointer::key(at, name);
        match new.get(name) {
            Some(after) => compare(found, (&at, name), before, after, depth),
            None => found.add(&at, Some(before), None),
        }
    }
    for (name, after) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        found.add(&pointer::key(at, name), None, Some(after));
    }
}

/// Elements by their key, each with its place.
type Keyed<'v> = BTreeMap<Cow<'v, str>, (usize, &'v Value)>;

/// The elements of the list under `field` by their key; `None` if one has none, or two have the same.
fn keyed<'v>(field: &str, elements: &'v [Value]) -> Option<Keyed<'v>> {
    let mut keyed = Keyed::new();
    for (index, element) in elements.iter().enumerate() {
        if keyed.insert(identity(field, element)?, (index, element)).is_some() {
            return None;
        }
    }
    Some(keyed)
}

fn sets(found: &mut Difference, at: &str, old: &Keyed<'_>, new: &Keyed<'_>, depth: usize) {
    let gone = old.iter().filter(|(key, _)| !new.contains_key(*key));
    let mut gone: BTreeMap<usize, &Value> =
        gone.map(|(_, (index, value))| (*index, *value)).collect();
    let by_place: BTreeMap<usize, _> =
        new.iter().map(|(key, (index, value))| (*index, (key, *value))).collect();
    for (index, (key, after)) in by_place {
        let at = pointer::index(at, index);
        match old.get(key) {
            Some((_, before)) => compare(found, (&at, ""), before, after, depth),
            // One in the place of another is one change.
            None => found.add(&at, gone.remove(&index), Some(after)),
        }
    }
    for (index, before) in gone {
        found.add(&pointer::index(at, index), Some(before), None);
    }
}

fn sequences(found: &mut Difference, at: &str, old: &[Value], new: &[Value], depth: usize) {
    let is_same = |(old, new): &(&Value, &Value)| old == new;
    let n_before = old.iter().zip(new).take_while(is_same).count();
    let (old, new) = (rest(old, n_before), rest(new, n_before));
    let n_after = old.iter().rev().zip(new.iter().rev()).take_while(is_same).count();
    let (old, new) = (all_but(old, n_after), all_but(new, n_after));
    for i in 0..old.len().max(new.len()) {
        let at = pointer::index(at, n_before + i);
        match (old.get(i), new.get(i)) {
            (Some(old), Some(new)) => compare(found, (&at, ""), old, new, depth),
            (old, new) => found.add(&at, old, new),
        }
    }
}

fn rest(values: &[Value], from: usize) -> &[Value] {
    values.get(from..).unwrap_or_default()
}

fn all_but(values: &[Value], n_last: usize) -> &[Value] {
    values.get(..values.len().saturating_sub(n_last)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
