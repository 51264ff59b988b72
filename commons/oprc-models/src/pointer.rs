//! JSON pointers (RFC 6901): where in a document something is.

use std::fmt::Write;

/// One step of a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The entry of a mapping.
    Key(String),
    /// The element of a sequence.
    Index(usize),
}

/// `parent` and one key further.
pub(crate) fn key(parent: &str, key: &str) -> String {
    let mut pointer = String::with_capacity(parent.len() + key.len() + 1);
    pointer.push_str(parent);
    push_key(&mut pointer, key);
    pointer
}

/// `parent` and one index further.
pub(crate) fn index(parent: &str, index: usize) -> String {
    format!("{parent}/{index}")
}

/// The pointer of `steps`, from the root.
pub(crate) fn from_steps<'a>(steps: impl IntoIterator<Item = &'a Step>) -> String {
    let mut pointer = String::new();
    for step in steps {
        match step {
            Step::Key(key) => push_key(&mut pointer, key),
            // Writing to a string cannot fail.
            Step::Index(index) => drop(write!(pointer, "/{index}")),
        }
    }
    pointer
}

/// Whether `pointer` is `ancestor` or below it.
pub(crate) fn is_within(pointer: &str, ancestor: &str) -> bool {
    pointer.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The most characters of one key. No valid key is longer, and a hostile one would come back in the
/// pointer of everything below it.
const MAX_KEY_CHARS: usize = 256;

fn push_key(pointer: &mut String, key: &str) {
    pointer.push('/');
    for c in key.chars().take(MAX_KEY_CHARS) {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
}
