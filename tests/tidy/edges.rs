//! Who may depend on whom. A missing edge is an invariant: what is not listed cannot be called.

use std::collections::{BTreeMap, BTreeSet};

use crate::{assert_none, files};

/// Every edge between crates of the workspace that a program may have. A new one is a decision.
///
/// - The API knows neither the CRMs' client nor a controller: a dead cluster cannot slow a request.
/// - The API plans for dry runs, as the controllers would: planning is pure and calls nobody.
/// - Planning knows the documents alone: it can do no IO, sleep, or read a clock.
/// - Controllers do not know the API: they speak through the store.
const EDGES: &[(&str, &[&str])] = &[
    ("oprc-models", &[]),
    ("oprc-http", &["oprc-observability"]),
    ("oprc-observability", &[]),
    ("oprc-config", &["oprc-models"]),
    ("oprc-cp-storage", &["oprc-models"]),
    ("oprc-planning", &["oprc-models"]),
    ("oprc-controller-runtime", &["oprc-cp-storage", "oprc-models", "oprc-observability"]),
    ("oprc-crm-client", &["oprc-models", "oprc-observability"]),
    (
        "oprc-controllers",
        &[
            "oprc-controller-runtime",
            "oprc-cp-storage",
            "oprc-crm-client",
            "oprc-models",
            "oprc-observability",
            "oprc-planning",
        ],
    ),
    (
        "oprc-pm-api",
        &[
            "oprc-controller-runtime",
            "oprc-cp-storage",
            "oprc-models",
            "oprc-observability",
            "oprc-planning",
        ],
    ),
    (
        "oprc-pm",
        &[
            "oprc-config",
            "oprc-controller-runtime",
            "oprc-controllers",
            "oprc-cp-storage",
            "oprc-crm-client",
            "oprc-http",
            "oprc-models",
            "oprc-observability",
            "oprc-pm-api",
        ],
    ),
    (
        "oprc-crm",
        &["oprc-config", "oprc-cp-storage", "oprc-http", "oprc-models", "oprc-observability"],
    ),
    ("oprc-client", &["oprc-models"]),
    ("oprc-cli", &["oprc-client", "oprc-config", "oprc-models"]),
    (
        "oprc-tests",
        &[
            "oprc-config",
            "oprc-controller-runtime",
            "oprc-controllers",
            "oprc-cp-storage",
            "oprc-crm-client",
            "oprc-models",
            "oprc-planning",
            "oprc-pm-api",
        ],
    ),
    ("xtask", &[]),
];

/// Libraries that stand for an ability, and the crates that may have it.
const ABILITIES: &[(&str, &[&str])] = &[
    ("etcd-client", &["oprc-cp-storage"]),
    ("redb", &["oprc-cp-storage"]),
    ("reqwest", &["oprc-pm", "oprc-crm-client", "oprc-client"]),
    ("envconfig", &["oprc-config"]),
    ("metrics-exporter-prometheus", &["oprc-observability"]),
    ("protoc-bin-vendored", &["xtask"]),
];

/// Libraries with which a crate could do IO, sleep, or read a clock; planning has none.
const IMPURE: &[&str] = &["tokio", "async-trait", "tracing", "metrics", "reqwest", "fastrand"];

/// The dependencies of every crate that are built into programs, by crate.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    // The fuzzer's programs are a workspace of their own, around the tests.
    let is_ours = |path: &str| path.ends_with("/Cargo.toml") && !path.starts_with("fuzz/");
    for file in files::below("", is_ours) {
        let (mut section, mut name, mut names) = ("", "", BTreeSet::new());
        for line in file.text.lines().map(str::trim) {
            if let Some(header) = line.strip_prefix('[') {
                section = header.trim_end_matches(']');
                if let Some(table) = section.strip_prefix("dependencies.") {
                    names.insert(table.to_owned());
                }
            } else if let Some((key, value)) = line.split_once('=') {
                let key = key.trim().trim_end_matches(".workspace");
                match section {
                    "package" if key == "name" => name = value.trim().trim_matches('"'),
                    "dependencies" | "build-dependencies" => drop(names.insert(key.to_owned())),
                    _ => {}
                }
            }
        }
        all.insert(name.to_owned(), names);
    }
    all
}

#[test]
fn crates_have_only_the_listed_edges() {
    let mut violations = Vec::new();
    for (name, dependencies) in dependencies() {
        let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name) else {
            violations.push(format!("{name} is not listed"));
            continue;
        };
        let ours = dependencies.iter().filter(|name| name.starts_with("oprc-"));
        let unlisted = ours.filter(|dependency| !allowed.contains(&dependency.as_str()));
        violations.extend(unlisted.map(|dependency| format!("{name} → {dependency}")));
    }
    assert_none("a new edge between crates is a decision: list it in EDGES", &violations);
}

#[test]
fn abilities_stay_with_their_crates() {
    let mut violations = Vec::new();
    for (name, dependencies) in dependencies() {
        for (library, owners) in ABILITIES {
            if dependencies.contains(*library) && !owners.contains(&name.as_str()) {
                violations.push(format!("{name} → {library}"));
            }
        }
        if name == "oprc-planning" || name == "oprc-models" {
            let impure = IMPURE.iter().filter(|library| dependencies.contains(**library));
            violations.extend(impure.map(|library| format!("{name} → {library}")));
        }
    }
    assert_none("these crates must not have these libraries", &violations);
}

/// Too long a chain builds one crate after another.
#[test]
fn the_longest_chain_is_five_crates() {
    fn depth(name: &str) -> usize {
        let edges = EDGES.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, to)| to);
        1 + edges.iter().map(|to| depth(to)).max().unwrap_or(0)
    }
    for (name, _) in EDGES {
        assert!(depth(name) <= 5, "{name} ends a chain of {}", depth(name));
    }
}
