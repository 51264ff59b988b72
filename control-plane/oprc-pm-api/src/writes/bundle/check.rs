//! What is checked of a push as a whole: duplicates in it, and cycles of dependencies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use oprc_controller_runtime::cache::Cache;
use oprc_models::{names::PackageName, package::OPackage, problem::Violation};

use super::{Document, DocumentSpec, scope::Scope};
use crate::writes::package::dependencies;

/// Packages that a search for cycles looks at, at most, those of the push aside: the package
/// controller finds the rest.
const MAX_SEARCHED: usize = 10_000;

/// Packages that are looked up at once.
const CHUNK: usize = 256;

/// A violation for each name that is pushed more than once; it names both places.
pub(super) fn duplicates(documents: &[Document]) -> Vec<Violation> {
    let mut packages: BTreeMap<&str, String> = BTreeMap::new();
    let mut deployments: BTreeMap<&str, String> = BTreeMap::new();
    let mut violations = Vec::new();
    for document in documents {
        match &document.spec {
            DocumentSpec::Package(package) => {
                let at = format!("{}/name", document.at);
                note(&mut packages, package.name.as_str(), at, "package", &mut violations);
                for (index, inline) in package.deployments.iter().enumerate() {
                    let at = format!("{}/deployments/{index}/key", document.at);
                    let key = inline.key.as_str();
                    note(&mut deployments, key, at, "deployment", &mut violations);
                }
            }
            DocumentSpec::Deployment(deployment) => {
                let at = format!("{}/key", document.at);
                let key = deployment.key.as_str();
                note(&mut deployments, key, at, "deployment", &mut violations);
            }
        }
    }
    violations
}

fn note<'d>(
    places: &mut BTreeMap<&'d str, String>,
    name: &'d str,
    at: String,
    kind: &str,
    violations: &mut Vec<Violation>,
) {
    match places.get(name) {
        Some(first) => {
            let message = format!("the {kind} {name} is pushed twice: {first} has it too");
            violations.push(Violation::new(at, message));
        }
        None => {
            places.insert(name, at);
        }
    }
}

/// A violation for each dependency of a pushed package that needs it in turn, through others that
/// are pushed or stored.
pub(super) fn cycles(cache: &Cache, scope: &Scope, documents: &[Document]) -> Vec<Violation> {
    let edges = edges(cache, scope);
    let components = components(&edges);
    let mut violations = Vec::new();
    for document in documents {
        let DocumentSpec::Package(package) = &document.spec else { continue };
        let own = components.get(&package.name);
        for (index, dependency) in dependencies(package) {
            let is_same = own.is_some() && components.get(&dependency.name) == own;
            if is_same || dependency.name == package.name {
                let message = format!("{} needs {} in turn", dependency.name, package.name);
                let at = format!("{}/dependencies/{index}", document.at);
                violations.push(Violation::new(at, message));
            }
        }
    }
    violations
}

type Edges = BTreeMap<PackageName, Vec<PackageName>>;

fn needs(package: &OPackage) -> Vec<PackageName> {
    dependencies(package).map(|(_, dependency)| dependency.name).collect()
}

/// Who needs whom, of all that the push reaches. The cache is let go between looks.
fn edges(cache: &Cache, scope: &Scope) -> Edges {
    let mut edges: Edges =
        scope.packages().map(|(name, package)| (name.clone(), needs(package))).collect();
    let max = edges.len() + MAX_SEARCHED;
    let mut queue: VecDeque<PackageName> = edges.values().flatten().cloned().collect();
    while !queue.is_empty() && edges.len() < max {
        let state = cache.read();
        for _ in 0..CHUNK {
            let Some(name) = queue.pop_front() else { break };
            if edges.contains_key(&name) {
                continue;
            }
            let stored = state.packages.get(&name);
            let found = stored.map(|entry| needs(&entry.value.spec)).unwrap_or_default();
            queue.extend(found.iter().filter(|other| !edges.contains_key(*other)).cloned());
            edges.insert(name, found);
        }
    }
    edges
}

/// The strongly connected components of more than one package, numbered (Kosaraju's way: those that
/// are reached backwards in the reverse order of being done with).
fn components(edges: &Edges) -> BTreeMap<&PackageName, usize> {
    let mut order = Vec::with_capacity(edges.len());
    let mut visited = BTreeSet::new();
    for start in edges.keys() {
        if !visited.insert(start) {
            continue;
        }
        let mut path = vec![(start, 0)];
        while let Some((name, next)) = path.last_mut() {
            let needed = edges.get(*name).and_then(|needs| needs.get(*next));
            *next += 1;
            match needed {
                Some(needed) => {
                    if visited.insert(needed) {
                        path.push((needed, 0));
                    }
                }
                None => order.extend(path.pop().map(|(name, _)| name)),
            }
        }
    }
    let mut backwards: BTreeMap<&PackageName, Vec<&PackageName>> = BTreeMap::new();
    for (name, needs) in edges {
        needs.iter().for_each(|needed| backwards.entry(needed).or_default().push(name));
    }
    let mut components = BTreeMap::new();
    let mut assigned = BTreeSet::new();
    for (number, root) in order.into_iter().rev().enumerate() {
        if !assigned.insert(root) {
            continue;
        }
        let mut members = vec![root];
        let mut next = 0;
        while let Some(member) = members.get(next) {
            next += 1;
            let from = backwards.get(*member).into_iter().flatten();
            members
                .extend(from.copied().filter(|other| assigned.insert(other)).collect::<Vec<_>>());
        }
        if members.len() > 1 {
            components.extend(members.into_iter().map(|member| (member, number)));
        }
    }
    components
}
