//! The variables of a program as text: for `--help` and for the README.

use std::fmt::Write as _;

use crate::parse::Variable;

/// One paragraph for each variable: name, default, meaning, what a value looks like.
#[must_use]
pub fn help(variables: &[Variable]) -> String {
    let mut text = String::from("Environment variables:\n");
    for variable in variables {
        let default = variable.default.map(|value| format!(" [default: {value}]"));
        let (meaning, want) = (variable.meaning(), (variable.want)());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {}{}", variable.name, default.unwrap_or_default());
        let _ = writeln!(text, "      {meaning}\n      Want {want}.");
    }
    text
}

/// A Markdown table with a row for each variable.
#[must_use]
pub fn markdown(variables: &[Variable]) -> String {
    let mut text = String::from("| Variable | Default | Meaning |\n| --- | --- | --- |\n");
    for variable in variables {
        let default = variable.default.map(|value| format!("`{value}`")).unwrap_or_default();
        let meaning = variable.meaning().replace('|', "\\|");
        let _ = writeln!(text, "| `{}` | {default} | {meaning} |", variable.name);
    }
    text
}

#[cfg(test)]
mod tests;
