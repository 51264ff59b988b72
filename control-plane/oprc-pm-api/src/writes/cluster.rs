//! Registrations of clusters. The environment makes them; here they can only be removed.

use oprc_cp_storage::keys::Key;
use oprc_models::{names::ClusterName, problem::Violation};

use super::{
    Error,
    decision::{Decision, Document, Outcome, Principal, Removal},
    draft::Spec,
    view::View,
};

/// Of those in the way of a removal, how many are named.
const MAX_NAMED: usize = 100;

pub(super) fn delete<'p>(
    view: &View<'_>,
    name: &ClusterName,
    removal: &Removal<'_>,
) -> Result<Decision<'p>, Error> {
    let key = Key::Cluster(name.clone());
    if let Some(reason) = view.state.unreadable.get(&key) {
        return Err(Error::Unreadable { key: key.to_string(), reason: reason.clone() });
    }
    let Some(entry) = view.state.clusters.get(name) else {
        return Err(Error::NotFound { key: key.to_string() });
    };
    removal.conditions.check(&key, Some(entry))?;
    let units = view.state.units_of_cluster(name).iter().map(|key| format!("deployment {key}"));
    let records = view.state.records.get(name).into_iter().flatten();
    let records = records.map(|(id, _)| format!("record {id}"));
    let dependants = units.chain(records).take(MAX_NAMED);
    let dependants: Vec<Violation> = dependants.map(|text| Violation::new("", text)).collect();
    if !dependants.is_empty() {
        return Err(Error::HasDependants { key: key.to_string(), dependants });
    }
    let status = view.state.cluster_statuses.get(name);
    let removals =
        status.map(|status| (Key::ClusterStatus(name.clone()), status.revision)).into_iter();
    let removals = removals.collect();
    let principal = Principal::Removed(Document {
        key,
        meta: entry.value.meta.clone(),
        spec: Spec::StoredCluster(entry.value.clone()),
        revision: entry.revision,
    });
    Ok(Decision { removals, ..Decision::new(Outcome::Removed, principal) })
}
