//! What a bundle owns and no longer has: it is asked to go, and nothing else is.

use oprc_controller_runtime::cache::State;
use oprc_cp_storage::keys::Key;
use oprc_models::{
    names::{BundleName, PackageName},
    problem::Violation,
    role::Kind,
};

use super::super::{
    Error,
    decision::{Decision, Outcome, Principal, Provenance, Stamp},
    draft::Draft,
    package::{live_deployment, live_package, marked_deployment, marked_package, may_cascade},
    view::View,
};
use crate::auth::Authority;

/// The documents of `bundle` that are not among the pushed, going or not.
pub(super) fn unpushed(
    state: &State,
    bundle: &BundleName,
    is_pushed: impl Fn(&Key) -> bool,
) -> Vec<Key> {
    state.owned_by_bundle(bundle).iter().filter(|key| !is_pushed(key)).cloned().collect()
}

/// What asks for the deletion of `key`; none where that was asked for before.
///
/// # Errors
///
/// [`Error::HasDependants`] where others than the push and what goes with it need the package.
pub(super) fn decide<'p>(
    view: &View<'_>,
    key: &Key,
    is_going: impl Fn(&Key) -> bool,
    by: Provenance<'_>,
    stamp: &Stamp<'_>,
) -> Result<Option<Decision<'p>>, Error> {
    let mut others: Vec<Draft<'p>> = Vec::new();
    let marked = match key {
        Key::Package(name) => {
            let Some(entry) = live_package(view, name) else { return Ok(None) };
            // Who may not take it away is not told who needs it.
            may_cascade(by.authority, Kind::Package, name)?;
            refuse_dependants(view, name, by.authority, is_going)?;
            let owned = view.state.owned_by_package(name).iter();
            for inline in owned.filter(|inline| !view.scope.has_deployment(inline)) {
                if let Some(entry) = live_deployment(view, inline) {
                    others.push(marked_deployment(inline, &entry, by, stamp));
                }
            }
            marked_package(name, &entry, by, stamp)
        }
        Key::Deployment(name) => {
            let Some(entry) = live_deployment(view, name) else { return Ok(None) };
            marked_deployment(name, &entry, by, stamp)
        }
        _ => return Ok(None),
    };
    let decision = Decision::new(Outcome::Deleting, Principal::Written(marked));
    Ok(Some(Decision { others, ..decision }))
}

/// Refuses the removal of a package that others need. What is pushed does not count: its author
/// sees both, and is warned.
fn refuse_dependants(
    view: &View<'_>,
    name: &PackageName,
    authority: Authority<'_>,
    is_going: impl Fn(&Key) -> bool,
) -> Result<(), Error> {
    let deployments = view.state.deployments_of_package(name).iter().filter(|key| {
        !view.scope.has_deployment(key)
            && !is_going(&Key::Deployment((*key).clone()))
            && live_deployment(view, key).is_some_and(|e| e.value.meta.owner.as_ref() != Some(name))
    });
    let packages = view.state.dependants_of_package(name).iter().filter(|other| {
        *other != name
            && !view.scope.has_package(other)
            && !is_going(&Key::Package((*other).clone()))
            && live_package(view, other).is_some()
    });
    let package_or_other = |other: &PackageName| match authority.sees(other) {
        true => format!("package {other} needs package {name}"),
        false => format!("a package that you may not see needs package {name}"),
    };
    let mut dependants: Vec<Violation> = deployments
        .map(|key| format!("deployment {key} needs package {name}"))
        .chain(packages.map(package_or_other))
        .map(|dependant| Violation::new("", dependant))
        .collect();
    dependants.dedup();
    if dependants.is_empty() {
        return Ok(());
    }
    Err(Error::HasDependants { key: Key::Package(name.clone()).to_string(), dependants })
}
