//! A document as it was written: a tree of scalars whose text is kept.
//!
//! Invariants of a tree that this crate's readers made:
//! - it is at most [`MAX_DEPTH`] deep, so recursion over it is bounded;
//! - a mapping has no key twice.

use serde_json::Value;

use super::scalar;

/// The deepest nesting of a document; the deepest that a valid one needs is 7.
pub const MAX_DEPTH: usize = 64;

/// A document, or a part of one, as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Node {
    /// Nothing: JSON's `null`; YAML's `null` and `~`.
    #[default]
    Null,
    /// One value, and its text: `1.0` is not `1`.
    Scalar(Scalar),
    /// A list.
    Sequence(Box<[Self]>),
    /// Keys with values, in the order they were written in.
    Mapping(Box<[(Box<str>, Self)]>),
}

/// One value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// Its text: a JSON number's digits, a string without its quotes and escapes.
    pub text: Box<str>,
    /// How it was written.
    pub style: Style,
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes: a JSON number, `true` or `false`; a YAML plain scalar. What it is is up to
    /// who asks. An empty one is YAML's `key:` without a value.
    Plain,
    /// In quotes, or as a YAML block: text and nothing else.
    Quoted,
}

impl Node {
    /// A scalar that is text and nothing else.
    #[must_use]
    pub fn quoted(text: impl Into<Box<str>>) -> Self {
        Self::Scalar(Scalar { text: text.into(), style: Style::Quoted })
    }

    /// A scalar without quotes.
    #[must_use]
    pub fn plain(text: impl Into<Box<str>>) -> Self {
        Self::Scalar(Scalar { text: text.into(), style: Style::Plain })
    }

    /// Whether nothing was written here: `null`, `~`, or nothing at all.
    #[must_use]
    pub fn is_null(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Scalar(scalar) => scalar.style == Style::Plain && scalar.text.is_empty(),
            Self::Sequence(_) | Self::Mapping(_) => false,
        }
    }

    /// The value at `key` of a mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Mapping(entries) => {
                entries.iter().find(|(name, _)| &**name == key).map(|(_, node)| node)
            }
            Self::Null | Self::Scalar(_) | Self::Sequence(_) => None,
        }
    }

    /// The text of a scalar.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Scalar(scalar) => Some(&scalar.text),
            Self::Null | Self::Sequence(_) | Self::Mapping(_) => None,
        }
    }

    /// The elements of a sequence; none for anything else.
    #[must_use]
    pub fn elements(&self) -> &[Self] {
        match self {
            Self::Sequence(elements) => elements,
            Self::Null | Self::Scalar(_) | Self::Mapping(_) => &[],
        }
    }

    /// The same in JSON: a plain scalar becomes the boolean or the number that YAML 1.2 makes of
    /// it, and a string where it is neither. Numbers keep their text where JSON can write it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            _ if self.is_null() => Value::Null,
            Self::Null => Value::Null,
            Self::Scalar(Scalar { text, style: Style::Quoted }) => Value::String(text.to_string()),
            Self::Scalar(Scalar { text, style: Style::Plain }) => scalar::to_json(text),
            Self::Sequence(elements) => elements.iter().map(Self::to_json).collect(),
            Self::Mapping(entries) => {
                entries.iter().map(|(key, node)| (key.to_string(), node.to_json())).collect()
            }
        }
    }

    /// What it is, for messages.
    pub(crate) fn describe(&self) -> String {
        use crate::text::Quoted;
        match self {
            _ if self.is_null() => "nothing (null)".to_owned(),
            Self::Null => "nothing (null)".to_owned(),
            Self::Scalar(Scalar { text, style: Style::Quoted }) => {
                format!("the text {}", Quoted(text))
            }
            Self::Scalar(Scalar { text, style: Style::Plain }) => {
                crate::text::clipped(text, 80).escape_debug().to_string()
            }
            Self::Sequence(_) => "a list".to_owned(),
            Self::Mapping(_) => "a mapping".to_owned(),
        }
    }
}
