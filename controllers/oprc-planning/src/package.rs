//! Packages: whether what they depend on is there.

use std::collections::BTreeSet;

use oprc_models::{
    condition::{Condition, Truth, carry_transitions},
    dependency::Dependency,
    meta::{Stored, Timestamp},
    package::OPackage,
    status::{DependencyStatus, PackageStatus},
};

use crate::resolve::{Found, Node, NotFound, Packages, needs};

/// What is to be said of the package `stored`, given what `packages` looks up and what was said
/// `before`.
pub fn status<'a>(
    stored: &'a Stored<OPackage>,
    before: Option<&PackageStatus>,
    packages: &impl Packages<'a>,
    now: Timestamp,
) -> PackageStatus {
    let spec = &stored.spec;
    let dependencies: Vec<_> = needs(packages, spec).map(resolved).collect();
    let cycle = find_cycle(&Node { name: spec.name.clone(), version: None }, spec, packages);
    let unsatisfied: Vec<_> =
        dependencies.iter().filter_map(|dependency| dependency.message.clone()).collect();
    let (truth, reason, message) = if stored.meta.is_deleting() {
        (Truth::False, "Deleting", "waits until nothing depends on it".to_owned())
    } else if let Some(cycle) = cycle {
        let path: Vec<_> = cycle.iter().map(Node::to_string).collect();
        (Truth::False, "DependencyCycle", format!("dependency cycle: {}", path.join(" -> ")))
    } else if unsatisfied.is_empty() {
        (Truth::True, "Resolved", String::new())
    } else {
        (Truth::False, "DependencyNotResolved", unsatisfied.join("; "))
    };
    let generation = stored.meta.generation;
    let ready = Condition::new("Ready", truth, reason, message, generation, now);
    PackageStatus {
        uid: stored.meta.uid.clone(),
        observed_generation: generation,
        conditions: carry_transitions(
            before.map_or(&[], |before| before.conditions.as_slice()),
            vec![ready],
        ),
        dependencies,
    }
}

fn resolved((dependency, found): (Dependency, Result<Found<'_>, NotFound>)) -> DependencyStatus {
    DependencyStatus {
        requirement: dependency.requirement.as_ref().map(ToString::to_string),
        name: dependency.name,
        resolved_version: found.as_ref().ok().and_then(|found| found.package.version.clone()),
        satisfied: found.is_ok(),
        message: found.err().map(|missing| missing.to_string()),
    }
}

/// The first cycle that begins and ends at `from`, which is this package, if there is one: `[from,
/// …, from]`. What does not resolve leads nowhere.
///
/// Visits each version of a package once, so it takes time in proportion to the dependencies reached.
pub fn find_cycle<'a>(
    from: &Node,
    package: &OPackage,
    packages: &impl Packages<'a>,
) -> Option<Vec<Node>> {
    let found = |package: &OPackage| -> Vec<Found<'a>> {
        needs(packages, package).filter_map(|(_, found)| found.ok()).collect()
    };
    let mut seen = BTreeSet::new();
    let mut path = vec![(from.clone(), found(package))];
    while let Some((_, rest)) = path.last_mut() {
        let Some(Found { node, package }) = rest.pop() else {
            path.pop();
            continue;
        };
        if node == *from {
            let nodes = path.into_iter().map(|(node, _)| node);
            return Some(nodes.chain([node]).collect());
        }
        if seen.insert(node.clone()) {
            let next = found(&package);
            path.push((node, next));
        }
    }
    None
}

#[cfg(test)]
mod tests;
