//! Settings of the log that every program shares.

use std::str::FromStr;

use crate::value::{Invalid, Setting};

/// Which events are logged: levels, each perhaps for one part of the program, separated by commas;
/// for example `info` or `info,oprc_controllers=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Box<str>);

impl Filter {
    /// The filter as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Filter {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_level =
            |level: &str| matches!(level, "off" | "error" | "warn" | "info" | "debug" | "trace");
        let is_target = |target: &str| {
            !target.is_empty()
                && target.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'))
        };
        let is_directive = |directive: &str| match directive.split_once('=') {
            None => is_level(directive),
            Some((target, level)) => is_target(target) && is_level(level),
        };
        let text = text.to_ascii_lowercase();
        if text.split(',').all(is_directive) { Ok(Self(text.into())) } else { Err(Invalid) }
    }
}

impl Setting for Filter {
    fn want() -> String {
        "off, error, warn, info, debug or trace, or a list like info,oprc_controllers=debug"
            .to_owned()
    }
}

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object in a line.
    Json,
    /// A line for people.
    Text,
}

impl FromStr for Format {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(Invalid),
        }
    }
}

impl Setting for Format {
    fn want() -> String {
        "json or text".to_owned()
    }
}
