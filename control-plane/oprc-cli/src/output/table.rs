//! Tables: columns padded to their widest cell, two spaces apart, no trailing blanks.

use crate::term::{Colour, Out, plain};

/// The widest that a cell is padded to; a longer one pushes the rest of its own line only.
const MAX_WIDTH: usize = 60;

/// A table being printed: the widths stay what the first rows made them, so that rows that come
/// later, of a watch, stand under them.
pub(crate) struct Table {
    widths: Vec<usize>,
}

impl Table {
    /// A table with these headings, wide enough for `rows`.
    pub(crate) fn new(headings: &[&str], rows: &[Vec<String>]) -> Self {
        let mut widths: Vec<usize> = headings.iter().map(|heading| heading.len()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count().min(MAX_WIDTH));
            }
        }
        Self { widths }
    }

    /// Prints one line. Words of state are coloured.
    pub(crate) fn line<S: AsRef<str>>(&self, out: &mut Out<'_>, cells: &[S]) {
        self.painted(out, cells, |_, cell| Colour::of_state(cell));
    }

    /// Prints one line, each cell in the colour for its index and text.
    pub(crate) fn painted<S: AsRef<str>>(
        &self,
        out: &mut Out<'_>,
        cells: &[S],
        colour: impl Fn(usize, &str) -> Colour,
    ) {
        let mut line = String::new();
        for (i, cell) in cells.iter().enumerate() {
            let cell = plain(cell.as_ref());
            let width = self.widths.get(i).copied().unwrap_or_default();
            let pad = width.saturating_sub(cell.chars().count());
            line.push_str(&out.paint(colour(i, &cell), &cell));
            if i + 1 < cells.len() {
                line.push_str(&" ".repeat(pad + 2));
            }
        }
        out.line(line.trim_end());
    }
}

#[cfg(test)]
mod tests;
