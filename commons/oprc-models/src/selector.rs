//! Label selectors: `team=blue,tier in (gold, silver),!legacy`.
//!
//! The grammar is that of Kubernetes. A selector that cannot be parsed is an error: a list that
//! ignores a filter shows too much, and one that takes it literally shows nothing.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::text::Quoted;

/// Most requirements of one selector.
pub const MAX_REQUIREMENTS: usize = 16;
/// Most values of one `in` or `notin`.
pub const MAX_VALUES: usize = 32;

/// Characters with a meaning of their own: they stand in no label name and no value.
const RESERVED: [char; 5] = [',', '(', ')', '=', '!'];

/// Requirements on labels, all of which must hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LabelSelector {
    /// The requirements, at least one.
    pub requirements: Vec<LabelRequirement>,
}

/// Requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LabelRequirement {
    /// Name of the label.
    pub name: String,
    /// Condition that it must meet.
    pub test: LabelTest,
}

/// Condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LabelTest {
    /// The label has one of these values.
    In(Vec<String>),
    /// The label has none of these values, or is absent.
    NotIn(Vec<String>),
    /// The label is present.
    Exists,
    /// The label is absent.
    Absent,
}

/// A text that is not a label selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{reason}: want for example team=blue, team!=blue, team in (blue,red), team notin (blue), team or !team, joined by commas"
)]
pub struct InvalidSelector {
    reason: String,
}

fn invalid<T>(reason: impl Into<String>) -> Result<T, InvalidSelector> {
    Err(InvalidSelector { reason: reason.into() })
}

impl LabelSelector {
    /// Whether `labels` meet every requirement.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(labels))
    }
}

impl LabelRequirement {
    /// Whether `labels` meet the requirement.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let found = labels.get(&self.name);
        match &self.test {
            LabelTest::In(values) => found.is_some_and(|found| values.contains(found)),
            LabelTest::NotIn(values) => found.is_none_or(|found| !values.contains(found)),
            LabelTest::Exists => found.is_some(),
            LabelTest::Absent => found.is_none(),
        }
    }
}

impl FromStr for LabelSelector {
    type Err = InvalidSelector;

    fn from_str(text: &str) -> Result<Self, InvalidSelector> {
        if text.trim().is_empty() {
            return invalid("the label selector is empty");
        }
        let parts = split(text)?;
        if parts.len() > MAX_REQUIREMENTS {
            return invalid(format!("more than {MAX_REQUIREMENTS} requirements"));
        }
        let requirements = parts.into_iter().map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { requirements })
    }
}

/// Splits `text` at the commas outside parentheses.
fn split(text: &str) -> Result<Vec<&str>, InvalidSelector> {
    let mut is_inside = false;
    for c in text.chars().filter(|c| matches!(c, '(' | ')')) {
        if is_inside == (c == '(') {
            return invalid(format!("parentheses do not match in {}", Quoted(text)));
        }
        is_inside = !is_inside;
    }
    if is_inside {
        return invalid(format!("parentheses do not match in {}", Quoted(text)));
    }
    let parts = text.split(|c| {
        match c {
            '(' => is_inside = true,
            ')' => is_inside = false,
            _ => {}
        }
        c == ',' && !is_inside
    });
    Ok(parts.collect())
}

impl FromStr for LabelRequirement {
    type Err = InvalidSelector;

    fn from_str(text: &str) -> Result<Self, InvalidSelector> {
        let text = text.trim();
        if let Some(label) = text.strip_prefix('!') {
            return Ok(Self { name: name(label)?, test: LabelTest::Absent });
        }
        if let Some(requirement) = set(text)? {
            return Ok(requirement);
        }
        let Some(at) = text.find(['=', '!']) else {
            return Ok(Self { name: name(text)?, test: LabelTest::Exists });
        };
        let (label, rest) = text.split_at(at);
        let name = name(label)?;
        let test = if let Some(given) = rest.strip_prefix("!=") {
            LabelTest::NotIn(vec![value(given)?])
        } else if let Some(given) = rest.strip_prefix("==").or_else(|| rest.strip_prefix('=')) {
            LabelTest::In(vec![value(given)?])
        } else {
            return invalid(format!("{} has no known operator", Quoted(text)));
        };
        Ok(Self { name, test })
    }
}

/// Parses `name in (a,b)` and `name notin (a,b)`; `None` if `text` has no parenthesis.
fn set(text: &str) -> Result<Option<LabelRequirement>, InvalidSelector> {
    let Some((head, tail)) = text.split_once('(') else { return Ok(None) };
    let mut words = head.split_whitespace();
    let (Some(label), Some(operator), None) = (words.next(), words.next(), words.next()) else {
        return invalid(format!("{} is not NAME in (…) or NAME notin (…)", Quoted(text)));
    };
    let Some(list) = tail.strip_suffix(')') else {
        return invalid(format!("{} does not end after its parenthesis", Quoted(text)));
    };
    let values = list.split(',').map(value).collect::<Result<Vec<_>, _>>()?;
    if list.trim().is_empty() {
        return invalid(format!("{} lists no value", Quoted(text)));
    }
    if values.len() > MAX_VALUES {
        return invalid(format!("{label} has more than {MAX_VALUES} values"));
    }
    let test = match operator {
        "in" => LabelTest::In(values),
        "notin" => LabelTest::NotIn(values),
        other => return invalid(format!("{} is not an operator: want in or notin", Quoted(other))),
    };
    Ok(Some(LabelRequirement { name: name(label)?, test }))
}

fn name(text: &str) -> Result<String, InvalidSelector> {
    let name = text.trim();
    if name.is_empty() {
        return invalid("a label name is missing");
    }
    // `<` and `>` are no operators here; as a part of the name they would find nothing.
    let is_odd = |c: char| RESERVED.contains(&c) || matches!(c, '<' | '>') || c.is_whitespace();
    if name.contains(|c: char| is_odd(c) || c.is_control()) {
        return invalid(format!("{} is not a label name", Quoted(name)));
    }
    Ok(name.to_owned())
}

fn value(text: &str) -> Result<String, InvalidSelector> {
    let value = text.trim();
    if value.contains(|c: char| RESERVED.contains(&c) || c.is_control()) {
        return invalid(format!("{} is not a label value", Quoted(value)));
    }
    Ok(value.to_owned())
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, requirement) in self.requirements.iter().enumerate() {
            write!(f, "{}{requirement}", if n == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Display for LabelRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, test } = self;
        match test {
            LabelTest::In(values) => match &values[..] {
                [value] => write!(f, "{name}={value}"),
                values => write!(f, "{name} in ({})", values.join(",")),
            },
            LabelTest::NotIn(values) => match &values[..] {
                [value] => write!(f, "{name}!={value}"),
                values => write!(f, "{name} notin ({})", values.join(",")),
            },
            LabelTest::Exists => f.write_str(name),
            LabelTest::Absent => write!(f, "!{name}"),
        }
    }
}

#[cfg(test)]
mod tests;
