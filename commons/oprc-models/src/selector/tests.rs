//! Label selectors: which texts are accepted, and what they match.

use std::collections::BTreeMap;

use super::{LabelSelector, MAX_REQUIREMENTS, MAX_VALUES};

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn selectors_match_as_written() {
    let blue = labels(&[("team", "blue"), ("tier", "gold"), ("empty", "")]);
    let red = labels(&[("team", "red"), ("name", "a b")]);
    for (text, is_blue, is_red) in [
        ("team=blue", true, false),
        ("team==blue", true, false),
        (" team = blue ", true, false),
        ("team!=blue", false, true),
        ("tier!=gold", false, true),
        ("team in (blue)", true, false),
        ("team in (blue, red)", true, true),
        ("team in(blue,red)", true, true),
        ("team notin (blue,green)", false, true),
        ("tier notin (silver)", true, true),
        ("team", true, true),
        ("tier", true, false),
        ("!tier", false, true),
        ("! tier", false, true),
        ("team=blue,tier=gold", true, false),
        ("team=blue,tier=silver", false, false),
        ("team in (blue,red),!tier", false, true),
        ("empty=", true, false),
        ("empty in (,x)", true, false),
        ("name=a b", false, true),
    ] {
        let selector: LabelSelector = text.parse().unwrap();
        assert_eq!((selector.matches(&blue), selector.matches(&red)), (is_blue, is_red), "{text}");
        let again: LabelSelector = selector.to_string().parse().unwrap();
        assert_eq!(again, selector, "{text}");
    }
}

#[test]
fn other_texts_are_rejected() {
    let many = vec!["a"; MAX_REQUIREMENTS + 1].join(",");
    let values = format!("a in ({})", vec!["x"; MAX_VALUES + 1].join(","));
    for text in [
        "",
        " ",
        ",",
        "a,",
        ",a",
        "=x",
        "!=x",
        "a=b=c",
        "a===b",
        "a=!b",
        "a!b",
        "a!",
        "!",
        "!!a",
        "!a=b",
        "a b",
        "a in",
        "a in x",
        "a in ()",
        "a in ( )",
        "a in (x",
        "a in x)",
        "a in (x))",
        "a in ((x))",
        "a in (x) y",
        "a IN (x)",
        "a of (x)",
        "in (x)",
        "a b in (x)",
        "a=(x)",
        "a in (x)(y)",
        "a in (x=y)",
        "a\nb",
        "a=b\u{7}",
        "a>1",
        &many,
        &values,
    ] {
        let parsed = text.parse::<LabelSelector>();
        assert!(parsed.is_err(), "{text:?}: {parsed:?}");
    }
}

#[test]
fn errors_say_what_is_wanted() {
    let error = "team=a=b".parse::<LabelSelector>().unwrap_err().to_string();
    assert!(
        error.starts_with("\"a=b\" is not a label value: want for example team=blue"),
        "{error}"
    );
}
