//! Reading a text takes memory in proportion to its size, whatever its shape.
//!
//! A binary of its own, because the allocator that counts is the whole process's; one test, because
//! tests at the same time would count each other's memory.

mod shapes;

use oprc_models::document::{self, Kind, never};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes at the peak, for each byte of a text.
const BYTES_PER_BYTE: usize = 10;

/// Bytes that any text may take: the copies of anchors and aliases, and the values that a short
/// text may hold.
const FREE_BYTES: usize = 6 << 20;

/// The size of the texts: large enough for a shape that takes thirty bytes for each of its own to
/// fail, small enough for a build without optimizations.
const SIZE: usize = 400 << 10;

/// The most documents of one push, as the API has it.
const MAX_DOCUMENTS: usize = 10_000;

/// Reads `text` as the API reads a push, and keeps what comes of it.
fn read(shape: &shapes::Shape) -> usize {
    let nodes = document::pushed(shape.text.as_bytes(), shape.format, MAX_DOCUMENTS, &never);
    let documents = nodes.unwrap_or_default().into_iter().map(|node| {
        let parsed = match document::kind(&node) {
            Some(Kind::Package | Kind::Deployments) => document::package_node(node),
            _ => return 0,
        };
        parsed.map_or_else(|violations| violations.len(), |parsed| parsed.warnings.len())
    });
    documents.sum()
}

#[test]
fn memory_is_in_proportion_to_the_text() {
    let mut failures = Vec::new();
    for shape in shapes::all(SIZE) {
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let _ = read(&shape);
        let peak = MEMORY.peak_usage() - before;
        let limit = BYTES_PER_BYTE * shape.text.len() + FREE_BYTES;
        if peak > limit {
            let n_bytes = shape.text.len();
            failures.push(format!("{}: {n_bytes} bytes took {peak}, limit {limit}", shape.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
