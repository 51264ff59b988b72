//! Registrations of clusters. The environment makes them; here they can only be removed.

use oprc_controller_runtime::cache::Entry;
use oprc_cp_storage::keys::Key;
use oprc_models::{
    cluster::ClusterSpec,
    meta::Stored,
    names::{ClusterName, DeploymentKey},
    problem::Violation,
    role::{Kind, Verb},
};

use crate::auth::Authority;

use super::{
    Error,
    decision::{Decision, Document, Outcome, Principal, Removal},
    draft::Spec,
    view::View,
};

/// Of those in the way of a removal, how many are named.
const MAX_NAMED: usize = 100;

/// What is in the way and not to be named.
fn hidden() -> String {
    "something that you may not see".to_owned()
}

pub(super) fn delete<'p>(
    view: &View<'_>,
    name: &ClusterName,
    removal: &Removal<'_>,
) -> Result<Decision<'p>, Error> {
    let entry = existing(view, name, removal)?;
    let dependants = dependants(view, name, removal.by.authority);
    if !dependants.is_empty() {
        let key = Key::Cluster(name.clone()).to_string();
        return Err(Error::HasDependants { key, dependants });
    }
    Ok(removed(view, name, entry))
}

/// What is stored and can be read, if the removal's conditions hold and the caller may remove it.
pub(super) fn existing<'v>(
    view: &'v View<'_>,
    name: &ClusterName,
    removal: &Removal<'_>,
) -> Result<&'v Entry<Stored<ClusterSpec>>, Error> {
    removal.by.authority.require_somewhere(Verb::Delete, Kind::Cluster)?;
    let key = Key::Cluster(name.clone());
    if let Some(reason) = view.state.unreadable.get(&key) {
        return Err(Error::Unreadable { key: key.to_string(), reason: reason.clone() });
    }
    let Some(entry) = view.state.clusters.get(name) else {
        return Err(Error::NotFound { key: key.to_string() });
    };
    removal.conditions.check(&key, Some(entry))?;
    Ok(entry)
}

/// The first units and records that are left on the cluster, a line each; of those that `authority`
/// does not see, that there are some.
pub(super) fn dependants(
    view: &View<'_>,
    name: &ClusterName,
    authority: Authority<'_>,
) -> Vec<Violation> {
    let sees = |key: &DeploymentKey| {
        let deployment = view.state.deployments.get(key);
        let package = deployment.map(|entry| &entry.value.spec.package_name);
        package.map_or_else(|| authority.sees_all(), |package| authority.sees(package))
    };
    let units = view.state.units_of_cluster(name).iter();
    let units = units.map(|key| if sees(key) { format!("deployment {key}") } else { hidden() });
    let records = view.state.records.get(name).into_iter().flatten();
    let records = records.map(|(id, entry)| {
        if sees(&entry.value.deployment_key) { format!("record {id}") } else { hidden() }
    });
    let mut dependants: Vec<String> = units.chain(records).take(MAX_NAMED).collect();
    dependants.dedup();
    dependants.into_iter().map(|text| Violation::new("", text)).collect()
}

/// The registration goes, and the status with it.
pub(super) fn removed<'p>(
    view: &View<'_>,
    name: &ClusterName,
    entry: &Entry<Stored<ClusterSpec>>,
) -> Decision<'p> {
    let status = view.state.cluster_statuses.get(name);
    let removals =
        status.map(|status| (Key::ClusterStatus(name.clone()), status.revision)).into_iter();
    let removals = removals.collect();
    let principal = Principal::Removed(Document {
        key: Key::Cluster(name.clone()),
        meta: entry.value.meta.clone(),
        spec: Spec::StoredCluster(entry.value.clone()),
        revision: entry.revision,
    });
    Decision { removals, ..Decision::new(Outcome::Removed, principal) }
}
