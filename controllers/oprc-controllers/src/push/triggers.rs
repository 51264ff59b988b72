//! Which pushes a change makes worth a look.

use oprc_controller_runtime::cache::{Changed, State};
use oprc_cp_storage::keys::Key;
use oprc_models::names::PushId;

/// The push to reconcile after `changed`.
pub(crate) fn keys(changed: &Changed, state: &State) -> Option<PushId> {
    let of = |key: Key| state.intent(&key).map(|intent| intent.push.clone());
    match changed {
        Changed::Push(id) => Some(id.clone()),
        // An intent that came late, or that a snapshot of the store brought back.
        Changed::Package(name, _) => of(Key::Package(name.clone())),
        Changed::Deployment(key, _) => of(Key::Deployment(key.clone())),
        Changed::Cluster(_)
        | Changed::Unit(..)
        | Changed::Record(..)
        | Changed::PackageStatus(_)
        | Changed::DeploymentStatus(_)
        | Changed::ClusterStatus(_)
        | Changed::PackageRevision(_)
        | Changed::PackageVersion(_)
        | Changed::DeploymentRevision(_)
        | Changed::Bundle(_)
        | Changed::RoleBinding(_)
        | Changed::Events(_)
        | Changed::Installation
        | Changed::Relisted
        | Changed::WentBack(..)
        | Changed::Leader(_) => None,
    }
}
