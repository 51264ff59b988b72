//! Time and memory that hostile texts take, a row for each shape.

#[path = "../tests/memory/shapes.rs"]
mod shapes;

use std::time::Instant;

use oprc_models::document::{self, Kind, never};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark measures real time and prints its results"
)]
fn main() {
    println!(
        "| shape | bytes | ms | peak, KiB | peak per byte | outcome |\n|---|--:|--:|--:|--:|---|"
    );
    for shape in shapes::all(1 << 20) {
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let started = Instant::now();
        let outcome = read(&shape);
        let elapsed = started.elapsed().as_secs_f64() * 1e3;
        let peak = MEMORY.peak_usage() - before;
        let n_bytes = shape.text.len();
        #[expect(clippy::cast_precision_loss, reason = "one digit is printed")]
        let ratio = peak as f64 / n_bytes as f64;
        let kib = peak >> 10;
        println!("| {} | {n_bytes} | {elapsed:.0} | {kib} | {ratio:.1} | {outcome} |", shape.name);
    }
}

/// Reads a text as the API reads a push, and tells what came of it.
fn read(shape: &shapes::Shape) -> String {
    let nodes = match document::pushed(shape.text.as_bytes(), shape.format, 10_000, &never) {
        Ok(nodes) => nodes,
        Err(violations) => {
            return violations.first().map_or_else(String::new, |first| first.message.clone());
        }
    };
    let (n_nodes, mut kept, mut n_refused) = (nodes.len(), Vec::new(), 0);
    for node in nodes {
        match document::kind(&node) {
            Some(Kind::Package | Kind::Deployments) => match document::package_node(node) {
                Ok(parsed) => kept.push(parsed),
                Err(_) => n_refused += 1,
            },
            _ => n_refused += 1,
        }
    }
    format!("{n_nodes} documents: {} valid, {n_refused} refused", kept.len())
}
