//! What is checked of a push as a whole: duplicates in it, and cycles of dependencies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use oprc_controller_runtime::cache::Cache;
use oprc_models::{names::PackageName, package::OPackage, problem::Violation};
use oprc_planning::resolve::{Node, find};

use super::{Document, DocumentSpec, scope::Scope};
use crate::writes::{package::dependencies, prospect::Prospect};

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
    let Graph { edges, pushed } = graph(cache, scope);
    let components = components(&edges);
    let mut violations = Vec::new();
    for document in documents {
        let DocumentSpec::Package(package) = &document.spec else { continue };
        let Some((own, needs)) = pushed.get(&package.name) else { continue };
        let component = components.get(own);
        for (index, needed) in needs {
            let is_same = component.is_some() && components.get(needed) == component;
            if is_same || needed == own {
                let message = format!("{} needs {} in turn", needed.name, package.name);
                let at = format!("{}/dependencies/{index}", document.at);
                violations.push(Violation::new(at, message));
            }
        }
    }
    violations
}

type Edges = BTreeMap<Node, Vec<Node>>;

/// Which version of a package needs which of others.
struct Graph {
    edges: Edges,
    /// What is pushed, and what it needs, by the place among its dependencies.
    pushed: BTreeMap<PackageName, (Node, Vec<(usize, Node)>)>,
}

fn needs(after: &Prospect<'_>, package: &OPackage) -> Vec<(usize, Node)> {
    let found = dependencies(package).filter_map(|(index, dependency)| {
        let found = find(after, &dependency.name, dependency.requirement.as_ref()).ok()?;
        Some((index, found.node))
    });
    found.collect()
}

/// Who needs whom, of all that the push reaches. The cache is let go between looks.
fn graph(cache: &Cache, scope: &Scope) -> Graph {
    let mut graph = Graph { edges: Edges::new(), pushed: BTreeMap::new() };
    let Graph { edges, pushed } = &mut graph;
    let mut packages = scope.packages().peekable();
    while packages.peek().is_some() {
        let state = cache.read();
        let after = Prospect::of_scope(&state, scope);
        for (name, package) in packages.by_ref().take(CHUNK) {
            let (own, needs) = (after.node(package), needs(&after, package));
            edges.insert(own.clone(), needs.iter().map(|(_, node)| node.clone()).collect());
            pushed.insert(name.clone(), (own, needs));
        }
    }
    let max = edges.len() + MAX_SEARCHED;
    let mut queue: VecDeque<Node> = edges.values().flatten().cloned().collect();
    while !queue.is_empty() && edges.len() < max {
        let state = cache.read();
        let after = Prospect::of_scope(&state, scope);
        for _ in 0..CHUNK {
            let Some(node) = queue.pop_front() else { break };
            if edges.contains_key(&node) {
                continue;
            }
            let package = after.at(&node);
            let found = package.map(|package| needs(&after, &package)).unwrap_or_default();
            let found: Vec<Node> = found.into_iter().map(|(_, node)| node).collect();
            queue.extend(found.iter().filter(|other| !edges.contains_key(*other)).cloned());
            edges.insert(node, found);
        }
    }
    graph
}

/// The strongly connected components of more than one package, numbered (Kosaraju's way: those that
/// are reached backwards in the reverse order of being done with).
fn components(edges: &Edges) -> BTreeMap<&Node, usize> {
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
    let mut backwards: BTreeMap<&Node, Vec<&Node>> = BTreeMap::new();
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
