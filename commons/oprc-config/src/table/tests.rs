//! The text that `--help` and the README show.

use super::{help, markdown};
use crate::pm;

#[test]
fn every_variable_has_a_row_and_a_paragraph() {
    for section in pm::VARIABLES {
        let (table, text) = (markdown(section), help(section));
        for variable in *section {
            assert!(!variable.meaning().is_empty(), "{}", variable.name);
            assert_eq!(table.matches(&format!("| `{}` |", variable.name)).count(), 1);
            assert!(text.contains(variable.name));
        }
    }
}
