//! JSON into a [`Node`]: `serde_json` reads, this keeps the text of numbers and refuses what it
//! would let pass (a key twice) or what a document never needs (too deep, too many values).
//!
//! One text is not kept: `serde_json` spells an exponent `1e3` as `1e+3`.

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{MAX_DEPTH, Node, budget::Budget, duplicate_keys};
use crate::{
    pointer::{self, Step},
    problem::Violation,
    text::{Quoted, clipped},
    validate::MAX_VIOLATIONS,
};

/// The key under which `serde_json` hands out a number's text (its `arbitrary_precision`). An
/// object that a user gives just this key is taken for the number that it spells.
const NUMBER_KEY: &str = "$serde_json::private::Number";

/// Reads exactly one JSON value, which holds at most `max_nodes`.
pub(super) fn read(
    text: &str,
    max_nodes: usize,
    budget: Budget<'_>,
) -> Result<Node, Vec<Violation>> {
    let (path, violations) = (Vec::new(), Vec::new());
    let reading = RefCell::new(Reading { path, n_nodes: 0, max_nodes, budget, violations });
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Seed { reading: &reading, depth: 0 }.deserialize(&mut json);
    let read = read.and_then(|node| json.end().map(|()| node));
    let mut reading = reading.into_inner();
    match read {
        Ok(node) if reading.violations.is_empty() => Ok(node),
        Ok(_) => Err(reading.violations),
        Err(error) => {
            let at = pointer::from_steps(&reading.path);
            reading.violations.push(Violation::new(at, clipped(&error.to_string(), 300)));
            Err(reading.violations)
        }
    }
}

/// What is known so far.
struct Reading<'b> {
    path: Vec<Step>,
    n_nodes: usize,
    max_nodes: usize,
    budget: Budget<'b>,
    violations: Vec<Violation>,
}

struct Seed<'a, 'b> {
    reading: &'a RefCell<Reading<'b>>,
    depth: usize,
}

impl Seed<'_, '_> {
    fn child(&self, step: Step) -> Self {
        self.reading.borrow_mut().path.push(step);
        Seed { reading: self.reading, depth: self.depth + 1 }
    }

    /// Leaves a child that was read. After an error the path stays, to say where it was.
    fn leave(&self) {
        self.reading.borrow_mut().path.pop();
    }

    /// Charges a value with a text of `n_bytes`.
    fn charge<E: Error>(&self, n_bytes: usize) -> Result<(), E> {
        self.reading.borrow_mut().budget.value(n_bytes).map_err(E::custom)
    }

    fn scalar<E: Error>(&self, node: Node) -> Result<Node, E> {
        self.charge(node.as_text().map_or(0, str::len))?;
        Ok(node)
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let (n_nodes, max_nodes) = {
            let mut reading = self.reading.borrow_mut();
            reading.n_nodes += 1;
            (reading.n_nodes, reading.max_nodes)
        };
        if n_nodes > max_nodes {
            return Err(D::Error::custom(format_args!("more than {max_nodes} values")));
        }
        if self.depth > MAX_DEPTH {
            return Err(D::Error::custom(format_args!("nested deeper than {MAX_DEPTH}")));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        self.scalar(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        self.scalar(Node::plain(if value { "true" } else { "false" }))
    }

    // Whole numbers that fit come as such; JSON writes each in one way alone, so no text is lost.
    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        self.scalar(Node::plain(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        self.scalar(Node::plain(value.to_string()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        self.scalar(Node::quoted(text))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Node, E> {
        self.scalar(Node::quoted(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        self.charge(0)?;
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element_seed(self.child(Step::Index(elements.len())))? {
            self.leave();
            elements.push(element);
        }
        self.leave();
        Ok(Node::Sequence(elements.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries: Vec<(Box<str>, Node)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == NUMBER_KEY && entries.is_empty() {
                return self.scalar(number(&map.next_value::<String>()?)?);
            }
            self.reading.borrow_mut().budget.key(key.len()).map_err(A::Error::custom)?;
            let value = map.next_value_seed(self.child(Step::Key(key.clone())))?;
            self.leave();
            entries.push((key.into(), value));
        }
        self.charge(0)?;
        let mut reading = self.reading.borrow_mut();
        if reading.violations.len() <= MAX_VIOLATIONS {
            let found = duplicate_keys(&entries, || pointer::from_steps(&reading.path));
            reading.violations.extend(found);
        }
        Ok(Node::Mapping(entries.into()))
    }
}

fn number<E: Error>(text: &str) -> Result<Node, E> {
    if text.parse::<serde_json::Number>().is_ok() {
        Ok(Node::plain(text))
    } else {
        Err(E::custom(format_args!("{} is not a number", Quoted(text))))
    }
}
