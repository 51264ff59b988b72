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

/// A condition is coloured by what its status means, which differs from type to type.
#[test]
fn conditions_are_coloured_by_meaning() {
    use Colour::{Green, None, Red, Yellow};
    for (r#type, status, reason, want) in [
        ("Ready", "True", "Running", Green),
        ("Ready", "False", "Down", Red),
        ("Ready", "Unknown", "ClusterNotConnected", Yellow),
        ("Progressing", "False", "Running", None),
        ("Progressing", "False", "Down", None),
        ("Progressing", "False", "Refused", Red),
        ("Progressing", "True", "Updating", Yellow),
        ("Degraded", "False", "Running", Green),
        ("Degraded", "True", "Down", Red),
        ("Paused", "True", "Paused", Yellow),
        ("Fenced", "True", "ContractKept", Green),
        ("Fenced", "False", "RestsOnElection", Red),
        ("OrphansHeld", "True", "TooMany", Red),
        ("OfANewerServer", "False", "Whatever", None),
    ] {
        assert_eq!(Colour::of_condition(r#type, status, reason), want, "{type} {status} {reason}");
    }
    assert_eq!(Colour::of_state("RUNNING (paused)"), Green);
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
