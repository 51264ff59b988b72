//! Writing to the user: streams whose reader may leave, colour, and text that came from elsewhere.
//!
//! Invariants:
//! - a reader that goes away (`oprc get … | head`) stops no work and is no failure;
//! - colour and cursor movements go only to a terminal that wants them;
//! - control characters of a server's text never reach a terminal.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use oprc_models::condition::{TYPES, Truth};

/// What a stream leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// It is a terminal: lines may be redrawn.
    pub is_terminal: bool,
    /// Colour is wanted there.
    pub has_colour: bool,
}

/// An output stream: writes, and remembers that its reader left.
pub struct Out<'a> {
    to: &'a mut dyn Write,
    terminal: Terminal,
    broken: Option<io::ErrorKind>,
}

impl<'a> Out<'a> {
    /// A stream to `to`.
    pub fn new(to: &'a mut dyn Write, terminal: Terminal) -> Self {
        Self { to, terminal, broken: None }
    }

    /// Writes `text` as it is, and flushes it. Once the reader has left, nothing more is written.
    pub(crate) fn text(&mut self, text: &str) {
        if self.broken.is_some() {
            return;
        }
        let written = self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush());
        self.broken = written.err().map(|err| err.kind());
    }

    /// Writes `line` and an end of line.
    pub(crate) fn line(&mut self, line: &str) {
        self.text(&format!("{line}\n"));
    }

    /// Whether nobody reads any more: an endless command ends then.
    pub(crate) fn is_closed(&self) -> bool {
        self.broken.is_some()
    }

    /// Why output was lost, unless its reader simply left.
    pub(crate) fn failure(&self) -> Option<io::ErrorKind> {
        self.broken.filter(|kind| *kind != io::ErrorKind::BrokenPipe)
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal.is_terminal
    }

    pub(crate) fn has_colour(&self) -> bool {
        self.terminal.has_colour
    }

    /// `text` in red, where there is colour.
    pub(crate) fn red(&self, text: &str) -> String {
        self.paint(Colour::Red, text)
    }

    /// `text` in `colour`, where there is colour.
    pub(crate) fn paint(&self, colour: Colour, text: &str) -> String {
        if !self.terminal.has_colour {
            return text.to_owned();
        }
        match colour.code() {
            Some(code) => format!("\x1b[{code}m{text}\x1b[0m"),
            None => text.to_owned(),
        }
    }
}

/// The colours in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    None,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Colour {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Red => Some("31"),
            Self::Green => Some("32"),
            Self::Yellow => Some("33"),
            Self::Cyan => Some("36"),
        }
    }

    /// The colour of a word of state: good, under way, bad; none for any other word.
    /// A remark in brackets does not count: `RUNNING (paused)`.
    pub(crate) fn of_state(word: &str) -> Self {
        let word = word.split_once(" (").map_or(word, |(word, _)| word);
        match word {
            "RUNNING" | "CONNECTED" | "HEALTHY" | "CLOSED" | "True" | "created" => Self::Green,
            "PENDING" | "DEPLOYING" | "DEGRADED" | "HALF_OPEN" | "UNKNOWN" | "Unknown"
            | "configured" | "DELETED" => Self::Yellow,
            "DOWN" | "UNREACHABLE" | "UNAUTHORIZED" | "MISIDENTIFIED" | "UNHEALTHY" | "OPEN"
            | "False" | "failed" => Self::Red,
            _ => Self::None,
        }
    }
}

impl Colour {
    /// Returns the colour of a condition's status, by what it means: `Degraded=False` is good.
    pub(crate) fn of_condition(r#type: &str, status: &str, reason: &str) -> Self {
        let well = TYPES.iter().find(|(known, _)| *known == r#type).map(|(_, well)| well);
        match (r#type, well, status) {
            // What does not progress is either done, or its other conditions tell why, or stuck.
            ("Progressing", _, "False") => match reason {
                "Running" | "Down" | "Unknown" | "ClusterNotConnected" => Self::None,
                _ => Self::Red,
            },
            (_, Some(None), "True") | (_, _, "Unknown") => Self::Yellow,
            (_, Some(Some(Truth::True)), "True") | (_, Some(Some(Truth::False)), "False") => {
                Self::Green
            }
            (_, Some(Some(_)), "True" | "False") => Self::Red,
            // A type of a newer server: what it means is not known.
            _ => Self::None,
        }
    }
}

/// `text` without control characters: each becomes a replacement character, a line break a space.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| match c {
        '\n' | '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    Cow::Owned(text.chars().map(shown).collect())
}

#[cfg(test)]
mod tests;
