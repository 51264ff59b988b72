//! What a push would change: documents against what the server holds, without writing.

use std::collections::BTreeSet;

use oprc_client::Client;
use oprc_models::{
    canonical::Canonical, deployment::OClassDeployment, package::OPackage, role::RoleBinding,
    version::PackageVersion,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    documents::{Document, Spec},
    error::Error,
    kind::Kind,
};

/// One object before and after a push.
#[derive(Debug)]
pub(super) struct Compared {
    /// For example `package/shop`.
    pub(super) subject: String,
    /// As the server holds it; none: it does not.
    pub(super) before: Option<Value>,
    /// As pushed; none: the push deletes it.
    pub(super) after: Option<Value>,
}

impl Compared {
    /// What the push does to it.
    pub(super) fn verdict(&self) -> &'static str {
        match (&self.before, &self.after) {
            (None, _) => "created",
            (Some(_), None) => "deleted",
            (Some(before), Some(after)) if before == after => "unchanged",
            (Some(_), Some(_)) => "configured",
        }
    }
}

/// Compares all that `document` declares, and what of the package's own it no longer does.
///
/// Inline deployments are objects of their own here as they are at the server.
pub(super) async fn compare(client: &Client, document: &Document) -> Result<Vec<Compared>, Error> {
    let mut compared = Vec::new();
    match &document.spec {
        Spec::Deployment(deployment) => compared.push(one_deployment(client, deployment).await?),
        Spec::RoleBinding(binding) => {
            let stored = read(client, Kind::RoleBinding, binding.name.as_str()).await?;
            let before = stored.map(|stored| spec_of::<RoleBinding>(stored, |_| ()));
            let (subject, after) = (document.subject(), Some(to_value(binding)));
            compared.push(Compared { subject, before, after });
        }
        Spec::Package(package) => {
            let name = package.name.as_str();
            let stored = read(client, Kind::Package, name).await?;
            if let Some(stored) = stored.as_ref().filter(|it| stays(document, it).is_some()) {
                // It would be published beside it, and change nothing of it.
                let same = Some(spec_of::<OPackage>(stored.clone(), |_| ()));
                let (subject, before) = (document.subject(), same.clone());
                compared.push(Compared { subject, before, after: same });
                return Ok(compared);
            }
            let before = stored.map(|stored| {
                spec_of::<OPackage>(stored, |package| {
                    package.deployments.clear();
                })
            });
            let pushed = OPackage { deployments: Vec::new(), ..(**package).clone() };
            let after = Some(to_value(&pushed));
            compared.push(Compared { subject: document.subject(), before, after });
            let mut declared = BTreeSet::new();
            for deployment in &package.deployments {
                declared.insert(deployment.key.as_str());
                compared.push(one_deployment(client, deployment).await?);
            }
            for stored in owned(client, name).await? {
                let key = Kind::Deployment.name_of(&stored).to_owned();
                if !declared.contains(key.as_str()) {
                    let before = Some(spec_of::<OClassDeployment>(stored, |_| ()));
                    let subject = format!("deployment/{key}");
                    compared.push(Compared { subject, before, after: None });
                }
            }
        }
    }
    Ok(compared)
}

/// The version that the package `stored` stays when `document` is pushed, a version that is not newer.
pub(super) fn stays(document: &Document, stored: &Value) -> Option<PackageVersion> {
    let Spec::Package(package) = &document.spec else { return None };
    let pushed = PackageVersion::of(package)?;
    let current = stored.get("version").and_then(Value::as_str);
    let current = current.and_then(PackageVersion::lenient)?;
    (current != pushed && !pushed.is_newer_than(&current)).then_some(current)
}

async fn one_deployment(client: &Client, deployment: &OClassDeployment) -> Result<Compared, Error> {
    let key = deployment.key.as_str();
    let stored = read(client, Kind::Deployment, key).await?;
    let before = stored.map(|stored| spec_of::<OClassDeployment>(stored, |_| ()));
    let after = Some(to_value(deployment));
    Ok(Compared { subject: format!("deployment/{key}"), before, after })
}

/// The object as the server holds it; none where it does not, or is about to hold it no more.
pub(super) async fn read(client: &Client, kind: Kind, name: &str) -> Result<Option<Value>, Error> {
    match kind.get(client, name)?.send().await.map_err(Error::from) {
        Ok(answer) if is_leaving(&answer.body) => Ok(None),
        Ok(answer) => Ok(Some(answer.body)),
        Err(err) if err.is_not_found() => Ok(None),
        Err(err) => Err(err),
    }
}

/// The deployments that the package declared inline.
pub(super) async fn owned(client: &Client, package: &str) -> Result<Vec<Value>, Error> {
    let list = Kind::Deployment.list(client).query("package_name", package);
    let mut deployments = list.all(None).await?;
    deployments.retain(|deployment| {
        let owner = deployment.pointer("/meta/owner").and_then(Value::as_str);
        owner == Some(package) && !is_leaving(deployment)
    });
    Ok(deployments)
}

/// Whether the object's deletion was asked for.
fn is_leaving(object: &Value) -> bool {
    object.pointer("/meta/deletion_requested_at").is_some_and(|at| !at.is_null())
}

/// The generation of an object's spec; 0 where it does not say.
pub(super) fn generation(object: &Value) -> u64 {
    object.pointer("/meta/generation").and_then(Value::as_u64).unwrap_or_default()
}

/// What the user asked for, of a stored object: without the system's fields, and written as we
/// write it, so that only differences in meaning are differences.
fn spec_of<T: Canonical + Serialize + DeserializeOwned>(
    mut stored: Value,
    adapt: impl FnOnce(&mut T),
) -> Value {
    if let Some(fields) = stored.as_object_mut() {
        for system in ["meta", "status", "warnings"] {
            fields.remove(system);
        }
    }
    match serde_json::from_value::<T>(stored.clone()) {
        Ok(mut spec) => {
            adapt(&mut spec);
            to_value(&spec)
        }
        // A newer server's word that this version does not know: show what there is.
        Err(_) => stored,
    }
}

/// What a stored `document` of `kind` asks for, in its canonical form.
pub(super) fn canonical(kind: Kind, document: Value) -> Value {
    match kind {
        Kind::Package => spec_of::<OPackage>(document, |_| ()),
        Kind::Deployment => spec_of::<OClassDeployment>(document, |_| ()),
        _ => document,
    }
}

/// The canonical form, so that only differences in meaning are differences. Plain data always has a
/// JSON form; were it not so, it would show as null.
fn to_value<T: Canonical + Serialize>(spec: &T) -> Value {
    serde_json::to_value(spec.canonical()).unwrap_or_default()
}
