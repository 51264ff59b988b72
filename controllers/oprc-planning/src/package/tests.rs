//! What is said of packages, and cycles among them.

use oprc_models::{condition::Truth, meta::Stored, package::OPackage};
use serde_json::json;

use super::{find_cycle, status};
use crate::{
    resolve::{Node, Packages},
    samples::{Shelf, at, stored},
};

/// Packages: `name`, its version (empty: none) and its dependencies. The last of a name is what it is
/// now.
fn world(packages: &[(&str, &str, &[&str])]) -> Vec<OPackage> {
    let package = |&(name, version, dependencies): &(&str, &str, &[&str])| {
        let mut spec = json!({"name": name, "dependencies": dependencies});
        if !version.is_empty() {
            spec["version"] = version.into();
        }
        serde_json::from_value(spec).unwrap()
    };
    packages.iter().map(package).collect()
}

/// The package `name` as it is stored.
fn of(world: &[OPackage], name: &str) -> Stored<OPackage> {
    stored("u1", 3, Shelf(world).package(&name.parse().unwrap()).unwrap().clone())
}

/// The one place that calls `status`, of the package `a`.
#[track_caller]
fn check(packages: &[(&str, &str, &[&str])], truth: Truth, reason: &str, message: &str) {
    let world = world(packages);
    let of = &of(&world, "a");
    let got = status(of, None, &Shelf(&world), at(1));
    let ready = &got.conditions[0];
    assert_eq!((ready.status, ready.reason.as_str()), (truth, reason), "{}", ready.message);
    assert_eq!(ready.message, message);
    assert_eq!((got.observed_generation, ready.observed_generation), (3, 3));
    let is_satisfied = got.dependencies.iter().all(|dependency| dependency.satisfied);
    assert_eq!(is_satisfied, got.dependencies.iter().all(|d| d.message.is_none()));
    // Saying it again later says the same.
    assert_eq!(status(of, Some(&got), &Shelf(&world), at(2)), got);
}

/// A dependency resolves to the highest version that will do, not to the newest.
#[test]
fn resolves_to_versions() {
    let shelf: &[(&str, &str, &[&str])] = &[
        ("b", "1.0", &[]),
        ("b", "1.4.2", &[]),
        ("b", "2.0", &[]),
        ("a", "", &["b@^1", "c", "d@*"]),
        ("c", "", &[]),
        ("d", "3.0.0", &[]),
    ];
    check(shelf, Truth::True, "Resolved", "");
    let world = world(shelf);
    let got = status(&of(&world, "a"), None, &Shelf(&world), at(1));
    let versions: Vec<_> = got.dependencies.iter().map(|d| d.resolved_version.as_deref()).collect();
    assert_eq!(versions, [Some("1.4.2"), None, Some("3.0.0")]);
}

/// What is needed by a version is not needed by another.
#[test]
fn cycles_are_of_versions() {
    let reason = "DependencyCycle";
    let shelf: &[(&str, &str, &[&str])] =
        &[("b", "1.0", &["a"]), ("b", "2.0", &[]), ("a", "", &["b@^1"])];
    check(shelf, Truth::False, reason, "dependency cycle: a -> b@1.0.0 -> a");
    let shelf: &[(&str, &str, &[&str])] =
        &[("b", "1.0", &[]), ("b", "2.0", &["a"]), ("a", "", &["b@^1"])];
    check(shelf, Truth::True, "Resolved", "");
    // It needs an earlier version of itself.
    let shelf: &[(&str, &str, &[&str])] =
        &[("a", "1.0", &[]), ("b", "1.0", &["a@^1"]), ("a", "2.0", &["b"])];
    check(shelf, Truth::True, "Resolved", "");
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
        "no version of package b satisfies ^2: there is 1.0.0",
    );
    check(
        &[("a", "", &["b@^2", "c"]), ("b", "", &[])],
        Truth::False,
        reason,
        "no version of package b satisfies ^2: there is none; package c does not exist",
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
    let from = Node { name: "p0".parse().unwrap(), version: None };
    assert_eq!(find_cycle(&from, &world[0], &Shelf(&world)), None);
}

#[test]
fn deletion_is_told_whatever_else_there_is() {
    let mut of = of(&world(&[("a", "", &["a", "x"])]), "a");
    of.meta.deletion_requested_at = Some(at(1));
    let got = status(&of, None, &Shelf(&[]), at(1));
    assert_eq!(got.conditions[0].reason, "Deleting");
}

#[test]
fn transition_time_is_that_of_the_last_turn() {
    let world = world(&[("a", "", &["b"]), ("b", "", &[])]);
    let of = of(&world, "a");
    let missing = status(&of, None, &Shelf(&[]), at(1));
    let still = status(&of, Some(&missing), &Shelf(&[]), at(2));
    let resolved = status(&of, Some(&still), &Shelf(&world), at(3));
    let times = [&missing, &still, &resolved].map(|said| said.conditions[0].last_transition_time);
    assert_eq!(times, [at(1), at(1), at(3)]);
}
