//! What log lines and conditions are made of.

use std::collections::BTreeSet;

use oprc_models::condition::TYPES;

use crate::{
    assert_none,
    files::{self, File},
};

/// The arguments of each call of a logging macro in `text`, with the line that it begins in.
fn logged(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("tracing::") {
        let rest = &text[start + "tracing::".len()..];
        let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
        let levels = ["trace", "debug", "info", "warn", "error"];
        let is_log = levels.iter().any(|level| name == *level || name == format!("{level}_span"));
        let Some(arguments) = rest[name.len()..].strip_prefix("!(").filter(|_| is_log) else {
            continue;
        };
        let mut depth = 1;
        let end = arguments.find(|c: char| {
            depth += match c {
                '(' => 1,
                ')' => -1,
                _ => 0,
            };
            depth == 0
        });
        let line = text[..start].lines().count();
        found.push((line, &arguments[..end.unwrap_or(arguments.len())]));
    }
    found
}

/// Whether a field of `arguments` is written by Rust's debug formatting.
fn has_debug(arguments: &str) -> bool {
    let before = |at: usize| arguments[..at].trim_end().chars().next_back();
    arguments.match_indices('?').any(|(at, _)| matches!(before(at), None | Some('=' | ',' | '(')))
}

/// Whether a number is written as text: revisions and terms have a `Display`, and are numbers.
fn has_number_as_text(arguments: &str) -> bool {
    let fields = arguments.split(',').map(str::trim);
    fields.into_iter().any(|field| {
        let name = field.split(['=', ' ']).next().unwrap_or_default().trim_start_matches('%');
        let is_number = ["revision", "term", "before", "generation"].contains(&name);
        is_number && (field.starts_with('%') || field.contains("= %"))
    })
}

fn product() -> Vec<File> {
    files::rust().into_iter().filter(|file| !file.is_test()).collect()
}

#[test]
fn log_fields_are_numbers_or_plain_text() {
    assert!(has_debug("?key") && has_debug("a = 1, to = ?state") && !has_debug("a = b?, \"c\""));
    assert!(has_number_as_text("%term, \"x\"") && has_number_as_text("revision = %revision"));
    assert!(!has_number_as_text("revision = revision.0"));
    let (mut n_lines, mut violations) = (0, Vec::new());
    for file in product() {
        for (line, arguments) in logged(&file.text) {
            n_lines += 1;
            if has_debug(arguments) || has_number_as_text(arguments) {
                violations.push(format!("{}:{line}: {}", file.path, arguments.trim()));
            }
        }
    }
    assert!(n_lines > 50, "the log lines were not found");
    assert_none("a log field is a number or plain text, no debug formatting", &violations);
}

/// Clients know what a condition means, and what can be waited for, by this list.
#[test]
fn condition_types_are_listed() {
    let known: BTreeSet<&str> = TYPES.iter().map(|(r#type, _)| *r#type).collect();
    let (mut n_found, mut violations) = (0, Vec::new());
    for file in product() {
        for (start, call) in file.text.match_indices("Condition::new(") {
            let argument = file.text[start + call.len()..].trim_start();
            let Some(literal) = argument.strip_prefix('"') else { continue };
            let r#type = literal.split('"').next().unwrap_or_default();
            n_found += 1;
            if !known.contains(r#type) {
                violations.push(format!("{}: {}", file.path, r#type));
            }
        }
    }
    assert!(n_found > 5, "the conditions were not found");
    assert_none("a condition's type is in oprc_models::condition::TYPES", &violations);
}
