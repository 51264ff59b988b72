//! What is said of packages, and cycles among them.

use std::collections::BTreeMap;

use oprc_models::{condition::Truth, meta::Stored, names::PackageName, package::OPackage};
use serde_json::json;

use super::{find_cycle, status};
use crate::samples::{at, stored};

/// Packages by name: `name`, its version (empty: none) and its dependencies.
fn world(packages: &[(&str, &str, &[&str])]) -> BTreeMap<PackageName, Stored<OPackage>> {
    let package = |&(name, version, dependencies): &(&str, &str, &[&str])| {
        let mut spec = json!({"name": name, "dependencies": dependencies});
        if !version.is_empty() {
            spec["version"] = version.into();
        }
        let spec: OPackage = serde_json::from_value(spec).unwrap();
        (spec.name.clone(), stored("u1", 3, spec))
    };
    packages.iter().map(package).collect()
}

/// The one place that calls `status`, of the package `a`.
#[track_caller]
fn check(packages: &[(&str, &str, &[&str])], truth: Truth, reason: &str, message: &str) {
    let world = world(packages);
    let of = &world["a"];
    let lookup = |name: &PackageName| world.get(name).map(|stored| &stored.spec);
    let got = status(of, None, lookup, at(1));
    let ready = &got.conditions[0];
    assert_eq!((ready.status, ready.reason.as_str()), (truth, reason), "{}", ready.message);
    assert_eq!(ready.message, message);
    assert_eq!((got.observed_generation, ready.observed_generation), (3, 3));
    let is_satisfied = got.dependencies.iter().all(|dependency| dependency.satisfied);
    assert_eq!(is_satisfied, got.dependencies.iter().all(|d| d.message.is_none()));
    // Saying it again later says the same.
    assert_eq!(status(of, Some(&got), lookup, at(2)), got);
}

#[test]
fn resolves_what_is_there() {
    check(&[("a", "", &[])], Truth::True, "Resolved", "");
    check(&[("a", "", &["b"]), ("b", "", &[])], Truth::True, "Resolved", "");
    check(&[("a", "", &["b@^1"]), ("b", "1.4.2", &[])], Truth::True, "Resolved", "");
    // A cycle among others is theirs to tell.
    check(&[("a", "", &["b"]), ("b", "", &["c"]), ("c", "", &["b"])], Truth::True, "Resolved", "");
}

#[test]
fn says_what_is_missing() {
    let reason = "DependencyNotResolved";
    check(&[("a", "", &["b"])], Truth::False, reason, "package b does not exist");
    check(
        &[("a", "", &["b@^2"]), ("b", "1.0.0", &[])],
        Truth::False,
        reason,
        "package b has version 1.0.0, and ^2 is required",
    );
    check(
        &[("a", "", &["b@^2", "c"]), ("b", "", &[])],
        Truth::False,
        reason,
        "package b has version none, and ^2 is required; package c does not exist",
    );
}

#[test]
fn finds_cycles_of_any_length() {
    let reason = "DependencyCycle";
    check(&[("a", "", &["a"])], Truth::False, reason, "dependency cycle: a -> a");
    check(
        &[("a", "", &["b"]), ("b", "", &["a"])],
        Truth::False,
        reason,
        "dependency cycle: a -> b -> a",
    );
    // Not by the dead ends around it, nor the missing.
    check(
        &[
            ("a", "", &["b", "d", "x"]),
            ("b", "", &["c", "d"]),
            ("c", "", &["d", "a"]),
            ("d", "", &["e"]),
            ("e", "", &["d"]),
        ],
        Truth::False,
        reason,
        "dependency cycle: a -> b -> c -> a",
    );
}

/// A ladder has 2^40 paths, and each package is visited once.
#[test]
fn takes_time_in_proportion_to_the_packages() {
    let names: Vec<_> = (0..80).map(|i| format!("p{i}")).collect();
    let rung = |i: usize| -> Vec<&str> {
        let next = [i / 2 * 2 + 2, i / 2 * 2 + 3];
        next.into_iter().filter_map(|j| names.get(j)).map(String::as_str).collect()
    };
    let rungs: Vec<_> = (0..names.len()).map(rung).collect();
    let packages: Vec<_> = names
        .iter()
        .zip(&rungs)
        .map(|(name, rungs)| (name.as_str(), "", rungs.as_slice()))
        .collect();
    let world = world(&packages);
    let lookup = |name: &PackageName| world.get(name).map(|stored| &stored.spec);
    assert_eq!(find_cycle(&world["p0"].spec, &lookup), None);
}

#[test]
fn deletion_is_told_whatever_else_there_is() {
    let mut world = world(&[("a", "", &["a", "x"])]);
    let of = world.get_mut("a").unwrap();
    of.meta.deletion_requested_at = Some(at(1));
    let got = status(of, None, |_| None, at(1));
    assert_eq!(got.conditions[0].reason, "Deleting");
}

#[test]
fn transition_time_is_that_of_the_last_turn() {
    let world = world(&[("a", "", &["b"]), ("b", "", &[])]);
    let lookup = |name: &PackageName| world.get(name).map(|stored| &stored.spec);
    let missing = status(&world["a"], None, |_| None, at(1));
    let still = status(&world["a"], Some(&missing), |_| None, at(2));
    let resolved = status(&world["a"], Some(&still), lookup, at(3));
    let times = [&missing, &still, &resolved].map(|said| said.conditions[0].last_transition_time);
    assert_eq!(times, [at(1), at(1), at(3)]);
}
