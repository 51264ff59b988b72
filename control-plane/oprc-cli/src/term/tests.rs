use super::*;

#[test]
fn takes_control_characters_out() {
    for (text, want) in [
        ("plain", "plain"),
        ("two\nlines\tand", "two lines and"),
        ("\x1b[31mred\x07", "\u{fffd}[31mred\u{fffd}"),
        ("übung", "übung"),
    ] {
        assert_eq!(plain(text), want);
    }
}

#[test]
fn colours_only_where_it_is_wanted() {
    for (has_colour, want) in [(false, "bad"), (true, "\x1b[31mbad\x1b[0m")] {
        let mut to = Vec::new();
        let out = Out::new(&mut to, Terminal { is_terminal: true, has_colour });
        assert_eq!(out.red("bad"), want);
        assert_eq!(out.paint(Colour::None, "word"), "word");
    }
}
