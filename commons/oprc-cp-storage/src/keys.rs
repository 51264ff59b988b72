//! The key families: which kinds of object there are, and what their keys look like.
//!
//! Keys are relative to the backend's prefix. No name holds a `/`, so a key parses back into the
//! names that it was made from. One writer writes each family; who that is stands beside it.

#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use oprc_models::{
    event::About,
    meta::Generation,
    names::{BindingName, BundleName, ClusterName, DeploymentKey, PackageName, PushId, UnitId},
    version::PackageVersion,
};

/// The key of one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// `packages/{name}`: a package's spec. Written by the API; removed by the package controller.
    Package(PackageName),
    /// `deployments/{key}`: a deployment's spec. Written by the API; removed by the deployment
    /// controller.
    Deployment(DeploymentKey),
    /// `clusters/{name}`: the registration of a CRM. Written by the API and at start-up.
    Cluster(ClusterName),
    /// `units/{cluster}/{deployment}`: desired. Written by the deployment controller; removed by
    /// the cluster's agent.
    Unit(ClusterName, DeploymentKey),
    /// `records/{cluster}/{unit id}`: observed. Written by the cluster's agent.
    Record(ClusterName, UnitId),
    /// `status/packages/{name}`. Written by the package controller.
    PackageStatus(PackageName),
    /// `status/deployments/{key}`. Written by the deployment controller.
    DeploymentStatus(DeploymentKey),
    /// `status/clusters/{name}`. Written by the cluster's agent.
    ClusterStatus(ClusterName),
    /// `package-revisions/{name}/{generation}`: what a package was. Written by the API when it
    /// replaces the package; removed by the package controller.
    PackageRevision(PackageName, Generation),
    /// `deployment-revisions/{key}/{generation}`: what a deployment was. Written by the API when it
    /// replaces the deployment; removed by the deployment controller.
    DeploymentRevision(DeploymentKey, Generation),
    /// `package-versions/{name}/{version}`: what is published under a version that is not what the
    /// package is now. Written by the API; removed by the package controller.
    PackageVersion(PackageName, PackageVersion),
    /// `bundles/{name}`: what was last pushed under a name. Written by the API.
    Bundle(BundleName),
    /// `pushes/{id}`: whether a push of several transactions has taken effect. Written by the API,
    /// under a lease until it is committed; removed by whoever finds no intent of it left.
    Push(PushId),
    /// `role-bindings/{name}`: who may do what. Written by the API.
    RoleBinding(BindingName),
    /// `events/{kind}/{name}`: what was decided about an object and met with, for people, for as long
    /// as its lease lives. Written by the controllers.
    Events(About),
    /// `installation`: the id of this store's installation. Written once by the first leader, and by
    /// `oprc-pm recover`.
    Installation,
    /// `leader/{election}`: who leads, for as long as its lease lives. Written by each replica.
    Leader(String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package(name) => write!(f, "packages/{name}"),
            Self::Deployment(key) => write!(f, "deployments/{key}"),
            Self::Cluster(name) => write!(f, "clusters/{name}"),
            Self::Unit(cluster, deployment) => write!(f, "units/{cluster}/{deployment}"),
            Self::Record(cluster, id) => write!(f, "records/{cluster}/{id}"),
            Self::PackageStatus(name) => write!(f, "status/packages/{name}"),
            Self::DeploymentStatus(key) => write!(f, "status/deployments/{key}"),
            Self::ClusterStatus(name) => write!(f, "status/clusters/{name}"),
            Self::PackageRevision(name, generation) => {
                write!(f, "package-revisions/{name}/{generation}")
            }
            Self::DeploymentRevision(key, generation) => {
                write!(f, "deployment-revisions/{key}/{generation}")
            }
            Self::PackageVersion(name, version) => write!(f, "package-versions/{name}/{version}"),
            Self::Bundle(name) => write!(f, "bundles/{name}"),
            Self::Push(id) => write!(f, "pushes/{id}"),
            Self::RoleBinding(name) => write!(f, "role-bindings/{name}"),
            Self::Events(about) => write!(f, "events/{}/{}", about.kind(), about.name()),
            Self::Installation => write!(f, "installation"),
            Self::Leader(election) => write!(f, "leader/{election}"),
        }
    }
}

/// A key of no known family: a newer version's, or somebody else's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is a key of no known family")]
pub struct UnknownKey(String);

impl FromStr for Key {
    type Err = UnknownKey;

    fn from_str(key: &str) -> Result<Self, UnknownKey> {
        let parts: Vec<&str> = key.split('/').collect();
        let parsed = match *parts.as_slice() {
            ["packages", name] => name.parse().ok().map(Self::Package),
            ["deployments", key] => key.parse().ok().map(Self::Deployment),
            ["clusters", name] => name.parse().ok().map(Self::Cluster),
            ["units", cluster, deployment] => {
                cluster.parse().ok().zip(deployment.parse().ok()).map(|(c, d)| Self::Unit(c, d))
            }
            ["records", cluster, id] => {
                cluster.parse().ok().zip(id.parse().ok()).map(|(c, i)| Self::Record(c, i))
            }
            ["status", "packages", name] => name.parse().ok().map(Self::PackageStatus),
            ["status", "deployments", key] => key.parse().ok().map(Self::DeploymentStatus),
            ["status", "clusters", name] => name.parse().ok().map(Self::ClusterStatus),
            ["package-revisions", name, number] => {
                name.parse().ok().zip(generation(number)).map(|(n, g)| Self::PackageRevision(n, g))
            }
            ["deployment-revisions", key, number] => {
                let key = key.parse().ok();
                key.zip(generation(number)).map(|(k, g)| Self::DeploymentRevision(k, g))
            }
            ["package-versions", name, version] => {
                name.parse().ok().zip(version.parse().ok()).map(|(n, v)| Self::PackageVersion(n, v))
            }
            ["bundles", name] => name.parse().ok().map(Self::Bundle),
            ["pushes", id] => id.parse().ok().map(Self::Push),
            ["role-bindings", name] => name.parse().ok().map(Self::RoleBinding),
            ["events", kind, name] => About::new(kind, name).map(Self::Events),
            ["installation"] => Some(Self::Installation),
            ["leader", election] if !election.is_empty() => Some(Self::Leader(election.to_owned())),
            _ => None,
        };
        parsed.ok_or_else(|| UnknownKey(key.to_owned()))
    }
}

/// The generation that is written so, and in no other way.
fn generation(text: &str) -> Option<Generation> {
    let number: Generation = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
