//! A document as one line of YAML that reads back as the very same tree.
//!
//! JSON cannot carry it: `version: 08` is the text `08` where a text is wanted, and JSON would make
//! it a number that has lost its zero.

use oprc_models::document::{Node, Scalar, Style};
use serde_json::Value;

/// `node` in YAML's flow style.
pub(super) fn to_text(node: &Node) -> String {
    let mut text = String::new();
    write(node, &mut text);
    text
}

/// Recursion is bounded: the readers of trees bound their depth.
fn write(node: &Node, text: &mut String) {
    match node {
        _ if node.is_null() => text.push_str("null"),
        Node::Null => text.push_str("null"),
        Node::Scalar(Scalar { text: scalar, style }) => {
            if *style == Style::Plain && is_bare(scalar) {
                text.push_str(scalar);
            } else {
                text.push_str(&quoted(scalar));
            }
        }
        Node::Sequence(elements) => {
            text.push('[');
            for (i, element) in elements.iter().enumerate() {
                text.push_str(if i == 0 { "" } else { ", " });
                write(element, text);
            }
            text.push(']');
        }
        Node::Mapping(entries) => {
            text.push('{');
            for (i, (key, value)) in entries.iter().enumerate() {
                text.push_str(if i == 0 { "" } else { ", " });
                text.push_str(&quoted(key));
                text.push_str(": ");
                write(value, text);
            }
            text.push('}');
        }
    }
}

/// Whether a plain scalar can stay without quotes here. Every number and boolean can; anything
/// else is text with quotes too.
fn is_bare(scalar: &str) -> bool {
    scalar.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-'))
        && scalar.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '.')
        && scalar.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b))
        && !matches!(scalar, "." | ".." | "...")
        && !scalar.starts_with("---")
}

/// JSON's strings are YAML's.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
