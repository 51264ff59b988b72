//! What a plain scalar means, by YAML 1.2's core schema. JSON's numbers and booleans are a part of
//! it, so both formats are read by these rules.

use std::str::FromStr;

use serde_json::{Number, Value};

/// Whether a plain scalar in YAML is `null`. An empty one is kept apart: see
/// [`Style::Plain`](super::Style::Plain).
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "null" | "Null" | "NULL" | "~")
}

/// The boolean that it is, if it is one. `yes` and `on` are YAML 1.1's, and text here.
pub(super) fn to_bool(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// The whole number that it is, if it is one: decimal, `0x` or `0o`.
pub(super) fn to_integer(text: &str) -> Option<i128> {
    let digits_of = |radix: u32, digits: &str| {
        // `from_str_radix` would take a second sign.
        let is_digits = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        is_digits.then(|| i128::from_str_radix(digits, radix).ok()).flatten()
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return digits_of(16, digits);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return digits_of(8, digits);
    }
    match text.strip_prefix('-') {
        Some(digits) => digits_of(10, digits).map(|number| -number),
        None => digits_of(10, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// The number that it is, if it is one; not finite for `.inf` and `.nan`, and for what is too
/// large.
pub(super) fn to_float(text: &str) -> Option<f64> {
    if let Some(integer) = to_integer(text) {
        #[expect(clippy::cast_precision_loss, reason = "a float was asked for")]
        return Some(integer as f64);
    }
    let (is_negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let number = match unsigned {
        ".inf" | ".Inf" | ".INF" => f64::INFINITY,
        ".nan" | ".NaN" | ".NAN" => f64::NAN,
        // Rust would take `inf`, `nan` and a second sign too.
        _ if unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            unsigned.parse().ok()?
        }
        _ => return None,
    };
    Some(if is_negative { -number } else { number })
}

/// What JSON makes of it: a boolean, a number with its text kept where JSON allows it, or a string.
pub(super) fn to_json(text: &str) -> Value {
    if let Some(boolean) = to_bool(text) {
        return Value::Bool(boolean);
    }
    // Only what begins like a number: the parser skips white space otherwise.
    if text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        && let Ok(number) = Number::from_str(text)
    {
        return Value::Number(number);
    }
    let number = match to_integer(text) {
        Some(integer) => Number::from_i128(integer),
        None => to_float(text).and_then(Number::from_f64),
    };
    number.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}
