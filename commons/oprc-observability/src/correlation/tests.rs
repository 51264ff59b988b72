//! What is taken from outside as a correlation id.

use super::CorrelationId;

#[track_caller]
fn check(header: &[u8], is_taken: bool) {
    let id = CorrelationId::from_header(Some(header));
    assert_eq!(id.as_str().as_bytes() == header, is_taken, "{id}");
    assert!(CorrelationId::parse(id.as_str().as_bytes()).is_some(), "{id} is not one itself");
}

#[test]
fn short_and_plain_ids_are_taken_and_others_replaced() {
    check(b"7f3c:build-12_a.b", true);
    check(&[b'a'; 128], true);
    check(&[b'a'; 129], false);
    check(b"", false);
    check(b"a b", false);
    check(b"a\nlevel=ERROR", false);
    check("\u{e4}".as_bytes(), false);
    check(&[0xff], false);
}

#[test]
fn made_ids_differ() {
    assert_ne!(CorrelationId::from_header(None), CorrelationId::from_header(None));
}
