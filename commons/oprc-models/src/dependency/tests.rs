//! What dependencies say, and which versions will do.

use super::*;
use crate::version::PackageVersion;

#[track_caller]
fn check(text: &str, version: &str, want: bool) {
    let requirement = Dependency::parse(text).unwrap().requirement.unwrap();
    let version = PackageVersion::lenient(version).unwrap();
    assert_eq!(version.satisfies(&requirement), want, "{text} of {version}");
}

#[test]
fn matches_versions() {
    check("shop@^1.2", "1.2.0", true);
    check("shop@^1.2", "1.10", true);
    check("shop@^1.2", "v1.3", true);
    check("shop@^1.2", "1", false);
    check("shop@^1.2", "2.0", false);
    check("shop@1.2", "1.3.0", true);
    check("shop@=1.2", "1.2.7", true);
    check("shop@>=1, <3", "2.9.9", true);
    check(" shop @ >=1, <3 ", "3", false);
    check("shop@*", "0.0.1", true);
    check("shop@^1", "1.1.0-rc.1", false);
    check("a.b@~1.2.3", "1.2.9+build.5", true);
}

#[test]
fn refuses_what_is_no_dependency() {
    for (text, want) in [
        ("", "\"\" is not a package name"),
        ("@1", "\"\" is not a package name"),
        ("a/b", "\"a/b\" is not a package name"),
        ("shop@", "\"\" is not a semver requirement"),
        ("shop@latest", "\"latest\" is not a semver requirement"),
        ("shop@^1@2", "\"^1@2\" is not a semver requirement"),
    ] {
        let error = Dependency::parse(text).unwrap_err().to_string();
        assert!(error.starts_with(want), "{text:?}: {error}");
    }
    let error = Dependency::parse(&format!("shop@{}", "x".repeat(100_000))).unwrap_err();
    assert!(error.to_string().len() < 500, "{error}");
}

#[test]
fn reads_versions_as_people_mean_them() {
    for (text, want) in [
        ("1", Some("1.0.0")),
        ("1.0", Some("1.0.0")),
        ("v2.3", Some("2.3.0")),
        ("1.2.3", Some("1.2.3")),
        ("2024.01.05", Some("2024.1.5")),
        ("1.0-rc.1", Some("1.0.0-rc.1")),
        ("1.2.3-a.b+c.d", Some("1.2.3-a.b+c.d")),
        (" 1.2 ", Some("1.2.0")),
        ("", None),
        ("v", None),
        ("1.", None),
        ("1.2.3.4", None),
        ("1.x", None),
        ("99999999999999999999", None),
        ("latest", None),
    ] {
        let version = lenient_version(text).map(|version| version.to_string());
        assert_eq!(version.as_deref(), want, "{text:?}");
    }
}

#[test]
fn shows_what_it_parses() {
    for text in ["shop", "shop@^1.2", "a.b@>=1, <3"] {
        assert_eq!(Dependency::parse(text).unwrap().to_string(), text);
    }
}

/// Both names may hold dots: every reading is given, the longest package first.
#[test]
fn finds_functions_of_dependencies() {
    let dependencies = ["a", "a.b", "c"].map(|text| Dependency::parse(text).unwrap());
    for (function, want) in [
        ("a.f", vec![("a", "f")]),
        ("a.b.f", vec![("a.b", "f"), ("a", "b.f")]),
        ("c.f.g", vec![("c", "f.g")]),
        ("a", vec![]),
        ("a.", vec![]),
        ("a._f", vec![]),
        ("ab.f", vec![]),
        ("f", vec![]),
    ] {
        let found = foreign_functions(&function.parse().unwrap(), &dependencies);
        let found: Vec<_> = found.iter().map(|(d, key)| (d.name.as_str(), key.as_str())).collect();
        assert_eq!(found, want, "{function}");
    }
}
