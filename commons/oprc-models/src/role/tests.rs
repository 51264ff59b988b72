use super::{Kind, Pattern, Role, Verb};

fn pattern(text: &str) -> Pattern {
    text.parse().unwrap()
}

/// Every role, what it may write; all but the first row's kinds are read by everybody.
#[test]
fn each_role_writes_its_kind() {
    use Kind::{Class, Cluster, Deployment, Event, Function, Package, Record, RoleBinding};
    let table: [(Role, &[Kind]); 5] = [
        (Role::Viewer, &[]),
        (Role::Developer, &[Package]),
        (Role::Deployer, &[Deployment]),
        (Role::Operator, &[Cluster]),
        (Role::Admin, &[Package, Deployment, Cluster, Record, Class, Function, Event, RoleBinding]),
    ];
    for (role, written) in table {
        for kind in Kind::ALL {
            for verb in Verb::ALL {
                let want = match verb {
                    Verb::Get | Verb::List | Verb::Watch => {
                        *kind != RoleBinding || role == Role::Admin
                    }
                    Verb::Create | Verb::Update | Verb::Delete => written.contains(kind),
                };
                assert_eq!(role.permits(*verb, *kind), want, "{role} {verb} {kind}");
            }
        }
    }
}

#[test]
fn a_pattern_is_a_name_or_a_beginning() {
    for text in ["shop", "shop-*", "*", "a*", "Shop.v2_*"] {
        assert_eq!(pattern(text).as_str(), text);
    }
    for text in ["", "**", "*-shop", "s*p", "-shop*", "sh op", "shop/*", "shop-**", "?"] {
        assert!(text.parse::<Pattern>().is_err(), "{text:?}");
    }
    assert!(format!("{}*", "a".repeat(252)).parse::<Pattern>().is_ok());
    assert!(format!("{}*", "a".repeat(253)).parse::<Pattern>().is_err());
}

#[test]
fn a_pattern_matches_what_it_says() {
    for (text, name, want) in [
        ("shop", "shop", true),
        ("shop", "shop-2", false),
        ("shop-*", "shop-2", true),
        ("shop-*", "shop-", true),
        ("shop-*", "shop", false),
        ("shop*", "shop", true),
        ("*", "anything", true),
        ("Shop*", "shop", false),
    ] {
        assert_eq!(pattern(text).matches(&name.parse().unwrap()), want, "{text} {name}");
    }
    for (wide, narrow, want) in [
        ("*", "shop", true),
        ("*", "*", true),
        ("shop*", "shop-*", true),
        ("shop-*", "shop*", false),
        ("shop", "shop*", false),
        ("shop", "shop", true),
    ] {
        assert_eq!(pattern(wide).covers(&pattern(narrow)), want, "{wide} {narrow}");
    }
}
