use super::*;

#[test]
fn says_lengths_as_short_as_they_are_useful() {
    for (seconds, want) in [
        (-5, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (190, "3m10s"),
        (600, "10m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 120, "3h2m"),
        (9 * 3600 + 120, "9h"),
        (47 * 3600, "47h"),
        (50 * 3600, "2d2h"),
        (9 * 86_400, "9d"),
    ] {
        assert_eq!(length(seconds), want, "{seconds}");
    }
}
