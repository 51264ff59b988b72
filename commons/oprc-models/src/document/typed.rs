//! A [`Node`] as a [`serde::Deserializer`]: types take from it what they expect.
//!
//! What a plain scalar is depends on who asks: a text takes any scalar's text (`version: 1.0` is
//! "1.0"), a number or a boolean takes a plain scalar that is one. Text in quotes is never a
//! number: the quotes say that it is text, as they do for kubectl.
//! A field that is null counts as left out, so its default applies.
//!
//! Errors and unknown keys carry their place; the path is kept by the calls themselves.

use std::{cell::RefCell, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess, Visitor},
    forward_to_deserialize_any,
};

use super::{Node, Scalar, Style, scalar};
use crate::{
    pointer::{self, Step},
    problem::Violation,
    text::{Quoted, clipped, closest},
    validate::MAX_VIOLATIONS,
};

/// The most elements of a list: no rule of [`crate::validate`] permits more.
pub(super) const MAX_ELEMENTS: usize = 1_000;

/// Why a node is not what its place asks for.
#[derive(Debug)]
pub(super) struct Error {
    message: String,
    /// From the inside out.
    steps: Vec<Step>,
    /// Whether it is a field that is missing, and not a value that is wrong.
    pub(super) is_missing: bool,
}

impl Error {
    fn new(message: String) -> Self {
        Self { message, steps: Vec::new(), is_missing: false }
    }

    fn want(want: impl fmt::Display, node: &Node) -> Self {
        Self::new(format!("want {want}, not {}", node.describe()))
    }

    fn below(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Where it is, from the root.
    pub(super) fn steps(&self) -> Vec<Step> {
        self.steps.iter().rev().cloned().collect()
    }

    /// What to tell of it.
    pub(super) fn violation(&self) -> Violation {
        Violation::new(pointer::from_steps(self.steps.iter().rev()), clipped(&self.message, 500))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        let mut error = Self::new("is missing".to_owned()).below(Step::Key(field.to_owned()));
        error.is_missing = true;
        error
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let hint = match closest(variant, expected.iter().copied()) {
            Some(close) => format!("; did you mean {close}?"),
            None => String::new(),
        };
        Self::new(format!("want one of {}, not {}{hint}", expected.join(", "), Quoted(variant)))
    }
}

/// Where a node is: a list that the calls themselves hold, from the inside out.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root,
    Key(&'a Self, &'a str),
    Index(&'a Self, usize),
}

impl Path<'_> {
    fn pointer(&self) -> String {
        match self {
            Path::Root => String::new(),
            Path::Key(parent, key) => pointer::key(&parent.pointer(), key),
            Path::Index(parent, index) => pointer::index(&parent.pointer(), *index),
        }
    }
}

/// Keys that no type asked for.
#[derive(Default)]
pub(super) struct Unknown(RefCell<Vec<Violation>>);

impl Unknown {
    fn add(&self, parent: &Path<'_>, key: &str, known: &[&str]) {
        if self.0.borrow().len() > MAX_VIOLATIONS {
            return;
        }
        let hint = match closest(key, known.iter().copied()) {
            Some(close) => format!("; did you mean {close}?"),
            None => String::new(),
        };
        let message = format!("the key {} is not known, and ignored{hint}", Quoted(key));
        self.0.borrow_mut().push(Violation::new(pointer::key(&parent.pointer(), key), message));
    }
}

/// Reads a `T` from `node`, and what it did not ask for.
pub(super) fn read<T: serde::de::DeserializeOwned>(
    node: &Node,
) -> Result<(T, Vec<Violation>), Error> {
    let unknown = Unknown::default();
    let value = T::deserialize(Reader { node, path: &Path::Root, unknown: &unknown })?;
    Ok((value, unknown.0.into_inner()))
}

#[derive(Clone, Copy)]
struct Reader<'de, 'p> {
    node: &'de Node,
    path: &'p Path<'p>,
    unknown: &'p Unknown,
}

impl<'de, 'p> Reader<'de, 'p> {
    fn text(self) -> Result<&'de str, Error> {
        match self.node {
            Node::Scalar(scalar) => Ok(&scalar.text),
            Node::Null => Err(Error::new("want text, not null: write \"\" for none".to_owned())),
            Node::Sequence(_) | Node::Mapping(_) => Err(Error::want("text", self.node)),
        }
    }

    /// The whole number from `min` to `max` that is here.
    fn integer<T: TryFrom<i128>>(
        self,
        min: impl fmt::Display,
        max: impl fmt::Display,
    ) -> Result<T, Error> {
        let refused = || Error::want(format_args!("a whole number from {min} to {max}"), self.node);
        let number = scalar::to_integer(self.plain().ok_or_else(refused)?).ok_or_else(refused)?;
        T::try_from(number).map_err(|_| refused())
    }

    fn plain(self) -> Option<&'de str> {
        match self.node {
            Node::Scalar(Scalar { text, style: Style::Plain }) => Some(text),
            Node::Null | Node::Scalar(_) | Node::Sequence(_) | Node::Mapping(_) => None,
        }
    }

    fn float(self) -> Result<f64, Error> {
        let number = self.plain().and_then(scalar::to_float);
        number.ok_or_else(|| Error::want("a number", self.node))
    }

    fn entries(self, fields: Option<&'static [&'static str]>) -> Result<Entries<'de, 'p>, Error> {
        match self.node {
            Node::Mapping(entries) => Ok(Entries {
                entries: entries.iter(),
                value: None,
                fields,
                path: self.path,
                unknown: self.unknown,
            }),
            Node::Null | Node::Scalar(_) | Node::Sequence(_) => {
                Err(Error::want("a mapping", self.node))
            }
        }
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit(self.integer(<$type>::MIN, <$type>::MAX)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = Error;

    /// For who takes anything: what YAML 1.2 makes of it.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node {
            _ if self.node.is_null() => visitor.visit_unit(),
            Node::Null => visitor.visit_unit(),
            Node::Sequence(_) => self.deserialize_seq(visitor),
            Node::Mapping(_) => self.deserialize_map(visitor),
            Node::Scalar(Scalar { text, style: Style::Quoted }) => visitor.visit_borrowed_str(text),
            Node::Scalar(Scalar { text, style: Style::Plain }) => {
                if let Some(boolean) = scalar::to_bool(text) {
                    visitor.visit_bool(boolean)
                } else if let Some(integer) = scalar::to_integer(text) {
                    match (u64::try_from(integer), i64::try_from(integer)) {
                        (Ok(integer), _) => visitor.visit_u64(integer),
                        (_, Ok(integer)) => visitor.visit_i64(integer),
                        _ => visitor.visit_i128(integer),
                    }
                } else if let Some(float) = scalar::to_float(text) {
                    visitor.visit_f64(float)
                } else {
                    visitor.visit_borrowed_str(text)
                }
            }
        }
    }

    integers! {
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64, deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let boolean = self.plain().and_then(scalar::to_bool);
        visitor.visit_bool(boolean.ok_or_else(|| Error::want("true or false", self.node))?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f64(self.float()?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f64(self.float()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node {
            // Checked before the elements are read: one of ten bytes may become a struct of hundreds.
            Node::Sequence(elements) if elements.len() > MAX_ELEMENTS => {
                let n_entries = elements.len();
                Err(Error::new(format!("{n_entries} entries: want at most {MAX_ELEMENTS}")))
            }
            Node::Sequence(elements) => visitor.visit_seq(Elements {
                elements: elements.iter().enumerate(),
                path: self.path,
                unknown: self.unknown,
            }),
            Node::Null | Node::Scalar(_) | Node::Mapping(_) => {
                Err(Error::want("a list", self.node))
            }
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(self.entries(None)?)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(self.entries(Some(fields))?)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(Word(self.text()?))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct
    }
}

struct Elements<'de, 'p> {
    elements: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
    path: &'p Path<'p>,
    unknown: &'p Unknown,
}

impl<'de> SeqAccess<'de> for Elements<'de, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some((index, node)) = self.elements.next() else {
            return Ok(None);
        };
        let path = Path::Index(self.path, index);
        let value = read_at(seed, node, &path, self.unknown);
        value.map(Some).map_err(|error| error.below(Step::Index(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.elements.len())
    }
}

struct Entries<'de, 'p> {
    entries: std::slice::Iter<'de, (Box<str>, Node)>,
    value: Option<&'de (Box<str>, Node)>,
    /// The fields of the struct that is asked for; none: a map, which takes any key.
    fields: Option<&'static [&'static str]>,
    path: &'p Path<'p>,
    unknown: &'p Unknown,
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        for entry in self.entries.by_ref() {
            let (key, node) = entry;
            if let Some(fields) = self.fields {
                if !fields.contains(&&**key) {
                    self.unknown.add(self.path, key, fields);
                    continue;
                }
                if node.is_null() {
                    continue;
                }
            }
            self.value = Some(entry);
            let key_read = seed.deserialize(Word(key));
            return key_read.map(Some).map_err(|error| error.below(Step::Key(key.to_string())));
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((key, node)) = self.value.take() else {
            return Err(Error::custom("a value was asked for before its key"));
        };
        let path = Path::Key(self.path, key);
        let value = read_at(seed, node, &path, self.unknown);
        value.map_err(|error| error.below(Step::Key(key.to_string())))
    }
}

/// Reads a node below the one being read: with a path that lives as long as the call.
fn read_at<'de, S: DeserializeSeed<'de>>(
    seed: S,
    node: &'de Node,
    path: &Path<'_>,
    unknown: &Unknown,
) -> Result<S::Value, Error> {
    seed.deserialize(Reader { node, path, unknown })
}

/// A word: a mapping's key, or the name of an enum's variant.
struct Word<'de>(&'de str);

impl<'de> Deserializer<'de> for Word<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.0)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

impl<'de> EnumAccess<'de> for Word<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let variant = seed.deserialize(Word(self.0))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _seed: T) -> Result<T::Value, Error> {
        Err(Error::custom(format_args!("{} takes no value", Quoted(self.0))))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom(format_args!("{} takes no value", Quoted(self.0))))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Error> {
        Err(Error::custom(format_args!("{} takes no value", Quoted(self.0))))
    }
}
