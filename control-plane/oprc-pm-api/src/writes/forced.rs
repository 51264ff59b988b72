//! Forced removals: of what is being deleted, and some cluster never says that it is rid of it.
//!
//! Only the document goes. Its units stay in the store, each marked absent, or marked so by the
//! planner when it finds that their spec is gone: they are the tombstones. The agent of their
//! cluster goes on asking for their deletion, above whatever generation comes back there, and
//! removes each once its cluster is observed not to hold it.
//!
//! Invariant: nothing that was sent to a cluster is forgotten here.

use metrics::counter;
use oprc_cp_storage::keys::Key;
use oprc_models::{
    names::{ClusterName, DeploymentKey},
    problem::Violation,
    role::Verb,
};

use super::{
    Error, Writes, Written, cluster,
    decision::{Decision, Document, Outcome, Principal, Removal, Stamp},
    deployment,
    draft::Spec,
    view::View,
};

const FORCED: &str = "oprc_pm_forced_removals_total";

impl Writes {
    /// Removes a deployment that is being deleted, whatever clusters still hold of it; with `only`,
    /// if that is the one cluster that does.
    ///
    /// # Errors
    ///
    /// [`Error::ForceRefused`] when its deletion was not asked for, [`Error::HasDependants`] with
    /// the clusters other than `only`; else as [`Writes::put_package`].
    pub async fn force_deployment(
        &self,
        key: &DeploymentKey,
        only: Option<&ClusterName>,
        removal: &Removal<'_>,
    ) -> Result<Written, Error> {
        let decide = |view: &View<'_>, _: &Stamp<'_>| of_deployment(view, key, only, removal);
        let key_in_store = Key::Deployment(key.clone());
        let written = self.remove(&key_in_store, true, removal, decide).await?;
        tell("deployment", key.as_str(), &written, removal);
        Ok(written)
    }

    /// Removes the registration of a cluster that is not connected, whatever it still holds.
    ///
    /// # Errors
    ///
    /// [`Error::ForceRefused`] while it is connected; else as [`Writes::put_package`].
    pub async fn force_cluster(
        &self,
        name: &ClusterName,
        removal: &Removal<'_>,
    ) -> Result<Written, Error> {
        let decide = |view: &View<'_>, _: &Stamp<'_>| of_cluster(view, name, removal);
        let written = self.remove(&Key::Cluster(name.clone()), true, removal, decide).await?;
        tell("cluster", name.as_str(), &written, removal);
        Ok(written)
    }
}

/// Who did it, and what may be left where: for whoever asks later.
fn tell(kind: &'static str, name: &str, written: &Written, removal: &Removal<'_>) {
    if removal.is_dry_run {
        return;
    }
    let left: Vec<&str> = written.warnings.iter().map(|left| left.message.as_str()).collect();
    tracing::warn!(
        audit = true,
        action = "forced_removal",
        kind,
        name,
        uid = written.meta.uid,
        generation = written.meta.generation,
        correlation_id = removal.by.correlation_id.unwrap_or_default(),
        subject = removal.by.subject.unwrap_or_default(),
        n_left = left.len(),
        left = left.join("; "),
        "removed by force"
    );
    counter!(FORCED, "kind" => kind).increment(1);
}

fn of_deployment<'p>(
    view: &View<'_>,
    key: &DeploymentKey,
    only: Option<&ClusterName>,
    removal: &Removal<'_>,
) -> Result<Decision<'p>, Error> {
    let entry = deployment::existing(view, key, Verb::Delete, removal)?;
    let store_key = Key::Deployment(key.clone());
    if !entry.value.meta.is_deleting() {
        let why = "its deletion was not asked for: ask for it without force first";
        return Err(Error::ForceRefused { key: store_key.to_string(), why });
    }
    let units = || view.state.units_of_deployment(key);
    let others: Vec<Violation> = units()
        .filter(|(cluster, _)| only.is_some_and(|only| only != *cluster))
        .map(|(cluster, _)| Violation::new("", format!("cluster {cluster}")))
        .collect();
    if !others.is_empty() {
        return Err(Error::HasDependants { key: store_key.to_string(), dependants: others });
    }
    let left = units().map(|(cluster, unit)| {
        let id = &unit.value.id;
        let message =
            format!("{cluster} may hold unit {id} yet; it is deleted when it is met there");
        Violation::new("", message)
    });
    let principal = Principal::Removed(Document {
        key: store_key,
        meta: entry.value.meta.clone(),
        spec: Spec::StoredDeployment(entry.value.clone()),
        revision: entry.revision,
    });
    Ok(Decision { warnings: left.collect(), ..Decision::new(Outcome::Removed, principal) })
}

fn of_cluster<'p>(
    view: &View<'_>,
    name: &ClusterName,
    removal: &Removal<'_>,
) -> Result<Decision<'p>, Error> {
    let entry = cluster::existing(view, name, removal)?;
    let status = view.state.cluster_statuses.get(name);
    if status.is_some_and(|status| status.value.is_connected()) {
        let why = "it is connected: what it holds is deleted in the ordinary way";
        let key = Key::Cluster(name.clone()).to_string();
        return Err(Error::ForceRefused { key, why });
    }
    let left = cluster::dependants(view, name, removal.by.authority);
    Ok(Decision { warnings: left, ..cluster::removed(view, name, entry) })
}

/// Describes this module's metrics to the recorder.
pub(super) fn describe_metrics() {
    metrics::describe_counter!(FORCED, "Documents that were removed by force, by kind");
}
