//! Streams and what is in them, however they are cut.

use super::*;

/// Parses `stream` whole, byte by byte and in threes.
#[track_caller]
fn check(stream: &str, want: &[&str]) {
    for size in [stream.len().max(1), 1, 3] {
        let (mut parser, mut got) = (Parser::default(), Vec::new());
        for chunk in stream.as_bytes().chunks(size) {
            parser.push(chunk, |data| got.push(String::from_utf8(data).unwrap())).unwrap();
        }
        assert_eq!(got, want, "{stream:?} by {size}");
    }
}

#[test]
fn takes_a_stream_apart() {
    check("", &[]);
    check("data: a\n\n", &["a"]);
    check("data:a\n\ndata:  b\n\n", &["a", " b"]);
    check("\u{feff}data: a\n\n", &["a"]);
    check("data: a\r\n\r\ndata: b\r\rdata: c\n\n", &["a", "b", "c"]);
    check("event: ADDED\nid: 7\nretry: 3\ndata: a\n\n", &["a"]);
    check("data: a\ndata: b\n\n", &["a\nb"]);
    check("data\n\n", &[""]);
    check(": ping\n\n\n\n", &[]);
    check("database: a\n\n", &[]);
    check("data: not complete", &[]);
    check("data: not complete\n", &[]);
}

#[test]
fn line_and_event_have_a_limit() {
    let mebibyte = vec![b'x'; MAX_EVENT_BYTES];
    let mut parser = Parser::default();
    assert_eq!(parser.push(&mebibyte, |_| ()), Ok(()));
    assert_eq!(parser.push(b"x", |_| ()), Err(TooLong), "an endless line");

    let mut parser = Parser::default();
    let line = format!("data: {}\n", "x".repeat(MAX_EVENT_BYTES / 2));
    assert_eq!(parser.push(line.as_bytes(), |_| ()), Ok(()));
    assert_eq!(parser.push(line.as_bytes(), |_| ()), Err(TooLong), "an endless event");

    let (mut parser, mut n) = (Parser::default(), 0);
    for _ in 0..20_000 {
        parser.push(b": a comment is no event, and is not kept\ndata: x\n\n", |_| n += 1).unwrap();
    }
    assert_eq!(n, 20_000);
}
