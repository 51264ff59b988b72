//! Reconciles one package: reads the cache, resolves its dependencies, writes its status; removes
//! it once its deletion was asked for and nothing depends on it.

use oprc_controller_runtime::controller::Requeue;
use oprc_cp_storage::{Write, keys::Key};
use oprc_models::names::PackageName;

use crate::{
    context::{Context, put, remove, require_readable},
    error::Error,
};

/// Reconciles the package `name` once.
///
/// # Errors
///
/// [`Error`]; in each case the next pass reads everything again.
pub(crate) async fn reconcile(context: &Context, name: &PackageName) -> Result<Requeue, Error> {
    let writes = decide(context, name)?;
    if !writes.is_empty() {
        context.commit(writes).await?;
    }
    Ok(Requeue::AwaitChange)
}

fn decide(context: &Context, name: &PackageName) -> Result<Vec<Write>, Error> {
    let state = context.cache.read();
    let (key, status_key) = (Key::Package(name.clone()), Key::PackageStatus(name.clone()));
    require_readable(&state, |unreadable| *unreadable == key || *unreadable == status_key)?;
    let status = state.package_statuses.get(name);
    let Some(package) = state.packages.get(name) else {
        return Ok(status.map(|entry| remove(&status_key, entry.revision)).into_iter().collect());
    };
    let is_needed = !state.deployments_of_package(name).is_empty()
        || state.dependants_of_package(name).iter().any(|dependant| dependant != name);
    if package.value.meta.is_deleting() && !is_needed {
        // A deployment whose spec cannot be read may be one of its classes', and a package that
        // cannot be read may depend on it.
        require_readable(&state, |key| matches!(key, Key::Deployment(_) | Key::Package(_)))?;
        tracing::info!(package = %name, "nothing depends on it; removing it");
        let status = status.map(|entry| remove(&status_key, entry.revision));
        return Ok([remove(&key, package.revision)].into_iter().chain(status).collect());
    }
    let new = oprc_planning::package::status(
        &package.value,
        status.map(|entry| &*entry.value),
        |name| state.packages.get(name).map(|entry| &entry.value.spec),
        (context.now)(),
    );
    if status.is_some_and(|entry| *entry.value == new) {
        return Ok(Vec::new());
    }
    Ok(vec![put(&status_key, status.map(|entry| entry.revision), &new)?])
}
