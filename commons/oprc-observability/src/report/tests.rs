//! The chain, once, on one line.

use std::io;

use super::{Brief, Report};

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Layer(&'static str, #[source] Option<Box<dyn std::error::Error + 'static>>);

fn layer(text: &'static str, source: Option<Layer>) -> Layer {
    Layer(text, source.map(|source| Box::new(source) as _))
}

#[test]
fn users_read_the_failure_and_its_root_cause() {
    let refused = io::Error::from_raw_os_error(111);
    assert_eq!(Brief(&refused).to_string(), "Connection refused");
    let between = layer("client error (Connect)", Some(layer("Connection refused", None)));
    let chain = layer("the CRM cannot be reached", Some(between));
    assert_eq!(Brief(&chain).to_string(), "the CRM cannot be reached: Connection refused");
    let repeated = layer("it failed: no room", Some(layer("no room", None)));
    assert_eq!(Brief(&repeated).to_string(), "it failed: no room");
}

#[test]
fn a_chain_is_one_line() {
    let chain =
        layer("call failed", Some(layer("no answer", Some(layer("reset\n by peer\n", None)))));
    assert_eq!(Report(&chain).to_string(), "call failed: no answer: reset by peer");
    assert_eq!(Report(&io::Error::other("closed")).to_string(), "closed");
}
