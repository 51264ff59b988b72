//! The list that checks add to, and the checks that all of them share.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

use super::{MAX_ENTRIES, MAX_VIOLATIONS};
use crate::{
    names::MAX_NAME_BYTES,
    pointer::{index, key},
    problem::Violation,
    text::Quoted,
    version::PackageVersion,
};

/// The longest value of a label, a setting or a name, in bytes. The whole document is bounded too.
const MAX_VALUE_BYTES: usize = 32 << 10;

/// What was found so far.
#[derive(Default)]
pub(super) struct Report(Vec<Violation>);

impl Report {
    pub(super) fn add(&mut self, at: impl Into<String>, message: impl Display) {
        if !self.is_full() {
            self.0.push(Violation::new(at, message.to_string()));
        }
    }

    pub(super) fn into_violations(self) -> Vec<Violation> {
        self.0
    }

    /// Whether nothing more is taken. What is costly to say need not be worked out then.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() > MAX_VIOLATIONS
    }

    /// Whether `n` is at most `max`; it is reported if not.
    pub(super) fn count(&mut self, at: &str, n: usize, max: usize) -> bool {
        if n > max {
            self.add(at, format_args!("{n} entries: want at most {max}"));
        }
        n <= max
    }

    /// `values` are at `at`, each told where it is by `field` ("": the element itself).
    pub(super) fn unique<'a>(
        &mut self,
        at: &str,
        field: &str,
        values: impl IntoIterator<Item = &'a str>,
    ) {
        let mut first_at = BTreeMap::new();
        for (i, value) in values.into_iter().enumerate() {
            if let Some(first) = first_at.get(value) {
                let element = index(at, i);
                let place = if field.is_empty() { element } else { key(&element, field) };
                let first = index(at, *first);
                self.add(place, format_args!("{} is already at {first}", Quoted(value)));
            } else {
                first_at.insert(value, i);
            }
        }
    }

    pub(super) fn share(&mut self, at: &str, field: &str, value: Option<f64>) {
        if let Some(value) = value.filter(|value| !(0.0..=1.0).contains(value)) {
            self.add(key(at, field), format_args!("want a number from 0 to 1, not {value}"));
        }
    }

    pub(super) fn range(&mut self, at: &str, field: &str, value: Option<u32>, min: u32, max: u32) {
        if let Some(value) = value.filter(|value| !(min..=max).contains(value)) {
            let message = format_args!("want a whole number from {min} to {max}, not {value}");
            self.add(key(at, field), message);
        }
    }

    /// A word: not empty, not long, on one line.
    pub(super) fn word(&mut self, at: &str, text: &str) {
        if text.trim().is_empty() {
            self.add(at, "is empty");
        } else if text.len() > MAX_NAME_BYTES || text.chars().any(char::is_control) {
            let message = format_args!(
                "want at most {MAX_NAME_BYTES} bytes on one line, not {}",
                Quoted(text)
            );
            self.add(at, message);
        }
    }

    /// A version of a package.
    pub(super) fn version(&mut self, at: &str, text: &str) {
        let n_before = self.0.len();
        self.word(at, text);
        if self.0.len() == n_before && PackageVersion::lenient(text).is_none() {
            let message =
                format_args!("{} is not a version: want for example 1.2.0 or 1.0", Quoted(text));
            self.add(at, message);
        }
    }

    pub(super) fn words<'a>(
        &mut self,
        at: &str,
        words: impl IntoIterator<Item = &'a String, IntoIter: Clone>,
    ) {
        let words = words.into_iter();
        self.count(at, words.clone().count(), MAX_ENTRIES);
        for (i, word) in words.enumerate() {
            self.word(&index(at, i), word);
        }
    }

    /// Labels, options, attributes: keys that are words, values that are not endless.
    pub(super) fn settings(&mut self, at: &str, settings: &BTreeMap<String, String>) {
        self.count(at, settings.len(), MAX_ENTRIES);
        for (name, value) in settings {
            let place = key(at, name);
            self.word(&place, name);
            if value.len() > MAX_VALUE_BYTES {
                let n_bytes = value.len();
                self.add(place, format_args!("{n_bytes} bytes: want at most {MAX_VALUE_BYTES}"));
            }
        }
    }

    /// Environment variables.
    pub(super) fn environment(&mut self, at: &str, variables: &BTreeMap<String, String>) {
        self.settings(at, variables);
        for (name, value) in variables {
            if name.contains(['=', ' ']) {
                let message = format_args!("{} is not a variable's name", Quoted(name));
                self.add(key(at, name), message);
            }
            if value.contains('\0') {
                self.add(key(at, name), "a variable cannot hold NUL");
            }
        }
    }

    pub(super) fn no_twice<T: Ord + AsRef<str>>(&mut self, at: &str, names: &[T]) {
        self.count(at, names.len(), MAX_ENTRIES);
        let distinct: BTreeSet<&str> = names.iter().map(AsRef::as_ref).collect();
        if distinct.len() < names.len() {
            self.unique(at, "", names.iter().map(AsRef::as_ref));
        }
    }
}
