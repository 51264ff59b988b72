//! Lines that change: redrawn in place on a terminal, else one line for each change.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::term::{Out, plain};

/// The most lines that are redrawn. More than a terminal is high cannot be reached again; then each
/// change is a line, as without a terminal.
const MAX_REDRAWN: usize = 20;

/// What is shown.
#[derive(Default)]
pub(crate) struct Progress {
    shown: BTreeMap<String, String>,
    drawn: usize,
}

impl Progress {
    /// Shows `lines`, each by what it is about.
    pub(crate) fn show(&mut self, lines: BTreeMap<String, String>, out: &mut Out<'_>) {
        if lines == self.shown {
            return;
        }
        if out.is_terminal() && lines.len() <= MAX_REDRAWN {
            out.text(&self.redraw(&lines));
            self.drawn = lines.len();
        } else {
            for (about, line) in &lines {
                if self.shown.get(about) != Some(line) {
                    out.line(&plain(&format!("{about} {line}")));
                }
            }
            self.drawn = 0;
        }
        self.shown = lines;
    }

    /// All lines over those drawn before. Lines do not wrap meanwhile, so that one line stays one.
    fn redraw(&self, lines: &BTreeMap<String, String>) -> String {
        let mut text = String::from("\x1b[?7l");
        if self.drawn > 0 {
            let _ = write!(text, "\x1b[{}A\x1b[J", self.drawn);
        }
        for (about, line) in lines {
            text.push_str(&plain(&format!("{about} {line}")));
            text.push('\n');
        }
        text.push_str("\x1b[?7h");
        text
    }

    /// What comes next is written below: nothing of it is drawn over.
    pub(crate) fn leave(&mut self) {
        self.drawn = 0;
    }
}

#[cfg(test)]
mod tests;
