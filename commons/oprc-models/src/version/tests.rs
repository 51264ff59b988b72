//! How versions are read, compared and found.

use serde_json::json;

use super::*;

fn version(text: &str) -> PackageVersion {
    PackageVersion::lenient(text).unwrap()
}

#[test]
fn reads_what_people_mean() {
    for (text, want) in [
        ("1.0", Some("1.0.0")),
        ("v2", Some("2.0.0")),
        ("2024.01.05", Some("2024.1.5")),
        ("1.2.3+build.5", Some("1.2.3")),
        ("1.0-rc.1+b", Some("1.0.0-rc.1")),
        ("latest", None),
        ("1.2.3.4", None),
        ("", None),
    ] {
        let read = PackageVersion::lenient(text).map(|version| version.to_string());
        assert_eq!(read.as_deref(), want, "{text:?}");
    }
    for text in ["1.0.0", "1.0.0-rc.1"] {
        assert_eq!(text.parse::<PackageVersion>().unwrap().to_string(), text);
    }
    for text in ["1.0", "v1.0.0", "1.0.0+b", "01.0.0", ""] {
        assert_eq!(text.parse::<PackageVersion>(), Err(InvalidVersion), "{text:?}");
    }
}

/// In the order of who becomes what the package is: each is newer than all before it.
#[test]
fn a_release_is_newer_than_any_pre_release() {
    let order =
        ["0.1.0-a", "1.0.0-rc.1", "1.0.0-rc.2", "2.0.0-a", "0.9", "1.0", "1.0.1", "1.10", "2"];
    for (i, one) in order.iter().enumerate() {
        for (j, other) in order.iter().enumerate() {
            assert_eq!(version(one).is_newer_than(&version(other)), i > j, "{one} {other}");
        }
    }
    assert!(!version("1.0.0+b").is_newer_than(&version("1.0.0+a")));
}

#[test]
fn finds_the_highest_that_will_do() {
    let there = ["1.2.0", "1.10.0", "2.0.0", "2.1.0-rc.1", "0.3.0"].map(version);
    for (text, want) in [
        ("^1", Some("1.10.0")),
        ("~1.2", Some("1.2.0")),
        ("=1.2.0", Some("1.2.0")),
        ("*", Some("2.0.0")),
        (">=1, <2", Some("1.10.0")),
        ("^2.1.0-rc.0", Some("2.1.0-rc.1")),
        (">=2", Some("2.0.0")),
        ("^3", None),
        // A version by itself is that one.
        ("1.2", Some("1.2.0")),
        ("v2", Some("2.0.0")),
        ("2.1.0-rc.1", Some("2.1.0-rc.1")),
        ("1", None),
    ] {
        let wanted = Wanted::parse(text).unwrap();
        let found = wanted.of(&there).map(ToString::to_string);
        assert_eq!(found.as_deref(), want, "{text}");
    }
    let error = Wanted::parse("newest").unwrap_err();
    assert!(error.starts_with("\"newest\" is neither a version nor a requirement"), "{error}");
}

#[test]
fn names_what_there_is() {
    assert_eq!(named(&[]), "there is none");
    assert_eq!(named(&[version("1")]), "there is 1.0.0");
    assert_eq!(named(&["1", "1.10", "1.2"].map(version)), "there are 1.10.0, 1.2.0, 1.0.0");
    let many: Vec<_> = (0..12).map(|minor| version(&format!("1.{minor}"))).collect();
    assert!(named(&many).ends_with("1.2.0 and 2 more"), "{}", named(&many));
}

/// What a package is, and not what is said of it.
#[test]
fn content_is_classes_functions_and_dependencies() {
    let base = json!({
        "name": "shop", "version": "1.0", "dependencies": ["text"],
        "classes": [{"key": "Cart"}], "functions": [{"key": "f"}],
    });
    let package = |field: &str, value: serde_json::Value| -> OPackage {
        let mut package = base.clone();
        package[field] = value;
        serde_json::from_value(package).unwrap()
    };
    let shop = package("name", json!("shop"));
    let deployment = json!([{"key": "d", "package_name": "shop", "class_key": "Cart"}]);
    for (field, value, is_same) in [
        ("labels", json!({"a": "b"}), true),
        ("metadata", json!({"author": "me"}), true),
        ("deployments", deployment, true),
        ("version", json!("1.0.0"), true),
        ("classes", json!([]), false),
        ("functions", json!([{"key": "g"}]), false),
        ("dependencies", json!(["text@^1"]), false),
    ] {
        let other = package(field, value);
        assert_eq!(is_same_content(&shop, &other), is_same, "{field}");
        let hashes = [&shop, &other].map(|package| content_hash(&content(package)));
        assert_eq!(hashes[0] == hashes[1], is_same, "{field}");
    }
}
