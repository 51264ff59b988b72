//! Packages: whether what they depend on is there.

use std::collections::BTreeSet;

use oprc_models::{
    condition::{Condition, Truth, carry_transitions},
    dependency::Dependency,
    meta::{Stored, Timestamp},
    names::PackageName,
    package::OPackage,
    status::{DependencyStatus, PackageStatus},
};

/// The packages that `package` names as dependencies, whether they are there or not.
pub fn dependency_names(package: &OPackage) -> impl Iterator<Item = PackageName> {
    let parsed = package.dependencies.iter().filter_map(|text| Dependency::parse(text).ok());
    parsed.map(|dependency| dependency.name)
}

/// What is to be said of the package `stored`, given the packages that `package` looks up and
/// what was said `before`.
pub fn status<'a>(
    stored: &'a Stored<OPackage>,
    before: Option<&PackageStatus>,
    package: impl Fn(&PackageName) -> Option<&'a OPackage>,
    now: Timestamp,
) -> PackageStatus {
    let spec = &stored.spec;
    let dependencies: Vec<_> =
        spec.dependencies.iter().filter_map(|text| resolve(text, &package)).collect();
    let cycle = find_cycle(spec, &package);
    let unsatisfied: Vec<_> =
        dependencies.iter().filter_map(|dependency| dependency.message.clone()).collect();
    let (truth, reason, message) = if stored.meta.is_deleting() {
        (Truth::False, "Deleting", "waits until nothing depends on it".to_owned())
    } else if let Some(cycle) = cycle {
        let path: Vec<_> = cycle.iter().map(PackageName::as_str).collect();
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

fn resolve<'a>(
    text: &str,
    package: &impl Fn(&PackageName) -> Option<&'a OPackage>,
) -> Option<DependencyStatus> {
    let dependency = Dependency::parse(text).ok()?;
    let found = package(&dependency.name);
    let version = found.and_then(|package| package.version.clone());
    let message = match (found, &dependency.requirement) {
        (None, _) => Some(format!("package {} does not exist", dependency.name)),
        (Some(_), Some(requirement)) if !dependency.matches(version.as_deref()) => Some(format!(
            "package {} has version {}, and {requirement} is required",
            dependency.name,
            version.as_deref().unwrap_or("none"),
        )),
        (Some(_), _) => None,
    };
    Some(DependencyStatus {
        requirement: dependency.requirement.as_ref().map(ToString::to_string),
        name: dependency.name,
        resolved_version: if message.is_none() { version } else { None },
        satisfied: message.is_none(),
        message,
    })
}

/// The first cycle that begins and ends at `from`, if there is one: `[from, …, from]`.
///
/// Visits each package once, so it takes time in proportion to the dependencies reached.
pub fn find_cycle<'a>(
    from: &'a OPackage,
    package: &impl Fn(&PackageName) -> Option<&'a OPackage>,
) -> Option<Vec<PackageName>> {
    let mut seen = BTreeSet::new();
    let mut path = vec![(from.name.clone(), dependency_names(from).collect::<Vec<_>>())];
    while let Some((_, rest)) = path.last_mut() {
        let Some(next) = rest.pop() else {
            path.pop();
            continue;
        };
        if next == from.name {
            let names = path.into_iter().map(|(name, _)| name);
            return Some(names.chain([next]).collect());
        }
        if let Some(found) = package(&next)
            && seen.insert(next.clone())
        {
            path.push((next, dependency_names(found).collect()));
        }
    }
    None
}

#[cfg(test)]
mod tests;
