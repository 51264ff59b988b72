//! Every metric is described and has its unit in its name.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    assert_none,
    files::{self, File},
};

/// What the name of a metric ends with, when it measures something.
const UNITS: &[&str] = &["_seconds", "_bytes", "_ratio", "_total", "_info"];

/// What the name of a gauge or a histogram ends with, when it counts things; and states, which are
/// 0 or 1 (or a number that its description explains).
const COUNTED: &[&str] = &[
    "_calls",
    "_clusters",
    "_connections",
    "_deployments",
    "_documents",
    "_events",
    "_fds",
    "_in_flight",
    "_keys",
    "_leader",
    "_objects",
    "_records",
    "_requests",
    "_revision",
    "_sources",
    "_state",
    "_threads",
    "_transactions",
    "_units",
    "_watchers",
    "_watches",
    "_writes",
];

/// First arguments of calls of the macros `names`, with the last segment of a path.
fn arguments<'a>(text: &'a str, names: &[&str]) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    for name in names {
        for (start, _) in text.match_indices(name) {
            let is_longer = text[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let rest = text[start + name.len()..].trim_start();
            let Some(end) = rest.find([',', ')', ';']) else { continue };
            let argument = rest[..end].trim().rsplit("::").next().unwrap_or_default();
            if !is_longer && !argument.is_empty() {
                found.insert(argument);
            }
        }
    }
    found
}

/// String constants of a crate by name.
fn constants(files: &[&File]) -> BTreeMap<String, String> {
    let mut constants = BTreeMap::new();
    for file in files {
        for (start, _) in file.text.match_indices("const ") {
            let rest = &file.text[start + "const ".len()..];
            let Some((name, rest)) = rest.split_once(": &str =") else { continue };
            let mut parts = rest.trim_start().splitn(3, '"');
            if let (Some(""), Some(value), false) =
                (parts.next(), parts.next(), name.contains('\n'))
            {
                constants.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    constants
}

/// The metrics of one crate, by name.
#[derive(Default)]
struct Metrics {
    counters: BTreeSet<String>,
    others: BTreeSet<String>,
    described: BTreeSet<String>,
    violations: Vec<String>,
}

impl Metrics {
    fn of(package: &str, files: &[&File]) -> Self {
        let constants = constants(files);
        let mut metrics = Self::default();
        let mut resolve = |names: &[&str]| -> BTreeSet<String> {
            let all = files.iter().flat_map(|file| arguments(&file.text, names));
            let resolve = |argument: &str| match argument.strip_prefix('"') {
                Some(literal) => Some(literal.trim_end_matches('"').to_owned()),
                None => constants.get(argument).cloned().or_else(|| {
                    let problem = "is neither a text nor a constant of its crate";
                    metrics.violations.push(format!("{package}: {argument} {problem}"));
                    None
                }),
            };
            all.filter_map(resolve).collect()
        };
        let counters = resolve(&["counter!("]);
        let others = resolve(&["gauge!(", "histogram!("]);
        let described =
            resolve(&["describe_counter!(", "describe_gauge!(", "describe_histogram!("]);
        Self { counters, others, described, ..metrics }
    }
}

#[test]
fn every_metric_has_a_unit_and_a_description() {
    let files = files::rust();
    let files: Vec<_> = files.iter().filter(|file| !file.is_test()).collect();
    let packages: BTreeSet<_> = files.iter().map(|file| file.package()).collect();
    let (mut described, mut named, mut violations) = (BTreeSet::new(), Vec::new(), Vec::new());
    for package in packages {
        let of_package: Vec<_> =
            files.iter().copied().filter(|file| file.package() == package).collect();
        let metrics = Metrics::of(package, &of_package);
        violations.extend(metrics.violations);
        described.extend(metrics.described);
        named.extend(metrics.counters.into_iter().map(|name| (package, name, true)));
        named.extend(metrics.others.into_iter().map(|name| (package, name, false)));
    }
    for (package, name, is_counter) in named {
        let ends_with = |suffixes: &[&str]| suffixes.iter().any(|suffix| name.ends_with(suffix));
        if is_counter && !name.ends_with("_total") {
            violations.push(format!("{package}: {name} is a counter without _total"));
        } else if !ends_with(UNITS) && !ends_with(COUNTED) {
            violations.push(format!("{package}: {name} has no unit"));
        }
        if !described.contains(&name) {
            violations.push(format!("{package}: {name} is not described"));
        }
    }
    assert_none("metrics", &violations);
}
