use super::*;

#[test]
fn reads_what_to_wait_for() {
    let condition = |name: &str, value: &str| {
        Some(Goal::Condition { name: name.to_owned(), value: value.to_owned() })
    };
    for (what, want) in [
        ("delete", Some(Goal::Delete)),
        ("condition=Ready", condition("Ready", "True")),
        ("condition=Ready=False", condition("Ready", "False")),
        ("condition=", None),
        ("condition", None),
        ("ready", None),
    ] {
        assert_eq!(goal(what).ok(), want, "{what}");
    }
}
