use clap::CommandFactory as _;

use super::*;

#[test]
fn grammar_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn reads_lengths_of_time() {
    let seconds = |text| duration(text).map(|length| length.as_secs());
    for (text, want) in [("90s", 90), ("5m", 300), ("1h30m", 5400), ("0s", 0)] {
        assert_eq!(seconds(text), Ok(want), "{text}");
    }
    for text in ["", "soon", "-5m", "5"] {
        assert!(seconds(text).is_err(), "{text}");
    }
}
