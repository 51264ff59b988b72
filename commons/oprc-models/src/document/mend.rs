//! Reading a type from a tree so that *every* value of a wrong type is told, not the first alone.
//!
//! A type stops at its first error. So that error is noted, the place mended with something that
//! fits, and the type read again, until it reads or nothing fits. Validation then runs on the
//! mended value, and what it says of mended places is dropped: people get one list, once.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::{Node, typed};
use crate::{
    pointer::{self, Step},
    problem::Violation,
};

/// The most errors that are looked for; each costs reading the tree once.
const MAX_MENDS: usize = 32;

/// What came of reading a tree as a `T`.
pub(super) struct Reading<T> {
    /// The value; none: the tree is too far from one.
    pub(super) value: Option<T>,
    /// Values of a wrong type.
    pub(super) violations: Vec<Violation>,
    /// Keys that no type asked for.
    pub(super) unknown: Vec<Violation>,
    /// Places where the value does not say what was written.
    mended: BTreeMap<String, usize>,
}

impl<T> Reading<T> {
    /// Adds what validation says, but for places that do not hold what was written.
    pub(super) fn add(&mut self, found: Vec<Violation>) {
        let is_mended = |at: &str| self.mended.keys().any(|mended| pointer::is_within(at, mended));
        let new = found.into_iter().filter(|violation| !is_mended(&violation.pointer));
        self.violations.extend(new);
    }
}

/// Reads a `T` from `node`, mending what does not fit. `filled` are places that were filled in
/// before, with nothing that was written.
pub(super) fn read<T: DeserializeOwned>(mut node: Node, filled: Vec<String>) -> Reading<T> {
    let mut reading = Reading {
        value: None,
        violations: Vec::new(),
        unknown: Vec::new(),
        mended: filled.into_iter().map(|pointer| (pointer, 0)).collect(),
    };
    for n in 0..MAX_MENDS {
        let error = match typed::read(&node) {
            Ok((value, unknown)) => {
                reading.value = Some(value);
                reading.unknown = unknown;
                break;
            }
            Err(error) => error,
        };
        let violation = error.violation();
        let at = violation.pointer.clone();
        reading.add(vec![violation]);
        let attempts = reading.mended.entry(at).or_default();
        if !mend(&mut node, &error.steps(), *attempts, n) {
            break;
        }
        *attempts += 1;
    }
    reading
}

/// Puts something else at `steps`; each attempt something different. False: nothing is left to try.
fn mend(root: &mut Node, steps: &[Step], attempt: usize, n: usize) -> bool {
    let Some((last, parents)) = steps.split_last() else {
        return false;
    };
    let Some(parent) = parents.iter().try_fold(root, |node, step| child(node, step)) else {
        return false;
    };
    // A name, a key and a cluster's name all may be this, and no two are the same.
    let text = Node::plain(format!("unreadable-{n}"));
    match (parent, last) {
        (Node::Mapping(entries), Step::Key(key)) => {
            let n_before = entries.len();
            let mut kept = std::mem::take(entries).into_vec();
            kept.retain(|(name, _)| **name != **key);
            if kept.len() == n_before {
                kept.push((key.as_str().into(), text));
            }
            *entries = kept.into();
            // Left out, filled in, and then no more: nothing in a document needs more.
            attempt < 3
        }
        (Node::Sequence(elements), Step::Index(index)) => {
            let (Some(element), Some(other)) = (
                elements.get_mut(*index),
                [text, Node::Mapping(Box::default()), Node::plain("1")].into_iter().nth(attempt),
            ) else {
                return false;
            };
            *element = other;
            true
        }
        _ => false,
    }
}

fn child<'a>(node: &'a mut Node, step: &Step) -> Option<&'a mut Node> {
    match (node, step) {
        (Node::Mapping(entries), Step::Key(key)) => {
            entries.iter_mut().find(|(name, _)| **name == **key).map(|(_, node)| node)
        }
        (Node::Sequence(elements), Step::Index(index)) => elements.get_mut(*index),
        _ => None,
    }
}
