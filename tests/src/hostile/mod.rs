//! Input from outside, any bytes at all: what must hold of each place that reads it.
//!
//! Each function here takes bytes, gives them to production code, and panics when a property does
//! not hold. The fuzzer (`fuzz/`) looks for bytes that make them panic; the test `hostile` gives
//! them what was found worth keeping (`tests/corpus`), and variations of it.
//!
//! Nothing here knows which input is valid: only what must be true of the answer.

mod crm_answer;
mod document;
mod request;
mod settings;
mod stored;
mod world;

pub use self::{
    crm_answer::crm_answer, document::document, request::request, settings::settings,
    stored::stored,
};

/// A place that reads input from outside.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: of the fuzzer's target, and of the folder of its corpus.
    pub name: &'static str,
    /// Gives it bytes; panics when a property does not hold.
    pub feed: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 5] = [
    Target { name: "document", feed: document },
    Target { name: "request", feed: request },
    Target { name: "settings", feed: settings },
    Target { name: "crm_answer", feed: crm_answer },
    Target { name: "stored", feed: stored },
];

/// The first byte, as a choice of `n`, and the rest.
fn choose(input: &[u8], n: u8) -> (u8, &[u8]) {
    input.split_first().map_or((0, input), |(first, rest)| (first % n, rest))
}
