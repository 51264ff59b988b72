use super::*;
use crate::term::Terminal;

/// What two showings write.
fn check(is_terminal: bool, want: &str) {
    let mut to = Vec::new();
    let mut out = Out::new(&mut to, Terminal { is_terminal, has_colour: false });
    let lines = |b: &str| {
        BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), b.to_owned())])
    };
    let mut progress = Progress::default();
    progress.show(lines("2"), &mut out);
    progress.show(lines("2"), &mut out);
    progress.show(lines("3"), &mut out);
    assert_eq!(String::from_utf8(to).unwrap(), want);
}

#[test]
fn redraws_on_a_terminal_alone() {
    check(false, "a 1\nb 2\nb 3\n");
    check(true, "\x1b[?7la 1\nb 2\n\x1b[?7h\x1b[?7l\x1b[2A\x1b[Ja 1\nb 3\n\x1b[?7h");
}
