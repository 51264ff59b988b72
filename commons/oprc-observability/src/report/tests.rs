//! The chain, once, on one line.

use std::io;

use super::Report;

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Layer(&'static str, #[source] Option<Box<dyn std::error::Error + 'static>>);

fn layer(text: &'static str, source: Option<Layer>) -> Layer {
    Layer(text, source.map(|source| Box::new(source) as _))
}

#[test]
fn a_chain_is_one_line() {
    let chain =
        layer("call failed", Some(layer("no answer", Some(layer("reset\n by peer\n", None)))));
    assert_eq!(Report(&chain).to_string(), "call failed: no answer: reset by peer");
    assert_eq!(Report(&io::Error::other("closed")).to_string(), "closed");
}
