//! A page for people: facts, one a line, and tables under headings.

use crate::{
    output::table::Table,
    term::{Colour, Out, plain},
};

/// Columns that a fact's name takes.
const NAME_WIDTH: usize = 14;

/// A page being printed.
pub(super) struct Page<'p, 'io> {
    out: &'p mut Out<'io>,
}

impl<'p, 'io> Page<'p, 'io> {
    pub(super) fn new(out: &'p mut Out<'io>) -> Self {
        Self { out }
    }

    /// One fact; left out where there is nothing to tell.
    pub(super) fn fact(&mut self, name: &str, value: &str) {
        if value.is_empty() || value == "-" {
            return;
        }
        let name = format!("{name}:");
        let value = plain(value);
        let value = self.out.paint(Colour::of_state(&value), &value);
        self.out.line(&format!("{name:NAME_WIDTH$} {value}"));
    }

    /// A table; left out where it has no rows.
    pub(super) fn table(&mut self, title: &str, headings: &[&str], rows: &[Vec<String>]) {
        self.painted(title, headings, rows, |_, _, cell| Colour::of_state(cell));
    }

    /// A table whose cells have the colour for their row, column and text.
    pub(super) fn painted(
        &mut self,
        title: &str,
        headings: &[&str],
        rows: &[Vec<String>],
        colour: impl Fn(usize, usize, &str) -> Colour,
    ) {
        if rows.is_empty() {
            return;
        }
        self.out.line(&format!("\n{title}:"));
        let indent = |cells: &[String]| {
            let mut cells = cells.to_vec();
            if let Some(first) = cells.first_mut() {
                first.insert_str(0, "  ");
            }
            cells
        };
        let headings: Vec<String> = headings.iter().map(|&heading| heading.to_owned()).collect();
        let (headings, rows) =
            (indent(&headings), rows.iter().map(|row| indent(row)).collect::<Vec<_>>());
        let names: Vec<&str> = headings.iter().map(String::as_str).collect();
        let table = Table::new(&names, &rows);
        table.line(self.out, &headings);
        for (i, row) in rows.iter().enumerate() {
            table.painted(self.out, row, |column, cell| colour(i, column, cell));
        }
    }
}
