//! The rules that documents keep beyond their types. Pure; every violation is reported, each with a
//! JSON pointer into the document and a message that says what was expected.
//!
//! What refers to another document (a package, a cluster) is no violation: documents come in any
//! order. Controllers say in a status what does not resolve.

mod advice;
mod deployable;
mod deployment;
mod package;
mod provision;
mod report;
mod role_binding;
mod secrets;

#[cfg(test)]
mod tests;

pub use advice::{deployment_advice, deployments_advice, package_advice};
pub use deployable::deployable;

use crate::{
    deployment::OClassDeployment, package::OPackage, problem::Violation, role::RoleBinding,
};
use report::Report;

/// The most violations, and the most warnings, that are told of one document; more are cut.
pub const MAX_VIOLATIONS: usize = 100;
/// The most classes of a package.
pub const MAX_CLASSES: usize = 1_000;
/// The most functions of a package.
pub const MAX_FUNCTIONS: usize = 1_000;
/// The most inline deployments: all are written in the package's own transaction, which etcd
/// bounds to 128 writes, two for each.
pub const MAX_INLINE_DEPLOYMENTS: usize = 50;
/// The most deployments of a list.
pub const MAX_DEPLOYMENTS: usize = 1_000;
/// The most dependencies of a package. Each must be there while the package is.
pub const MAX_DEPENDENCIES: usize = 64;
/// The most entries of any other list or map.
pub const MAX_ENTRIES: usize = 256;
/// The most replicas of one function.
pub const MAX_SCALE: u32 = 10_000;
/// The most partitions of a collection.
pub const MAX_PARTITIONS: u32 = 4_096;
/// The most replicas of a partition.
pub const MAX_REPLICAS: u32 = 64;
/// The most shards, partitions × replicas: each is named in every unit.
pub const MAX_SHARDS: u32 = 16_384;

/// The violations of a package and of its inline deployments.
#[must_use]
pub fn package(package: &OPackage) -> Vec<Violation> {
    let mut report = Report::default();
    package::check(&mut report, package);
    report.into_violations()
}

/// The violations of one deployment.
#[must_use]
pub fn deployment(deployment: &OClassDeployment) -> Vec<Violation> {
    let mut report = Report::default();
    deployment::check(&mut report, "", deployment);
    report.into_violations()
}

/// The violations of a role binding.
#[must_use]
pub fn role_binding(binding: &RoleBinding) -> Vec<Violation> {
    let mut report = Report::default();
    role_binding::check(&mut report, binding);
    report.into_violations()
}

/// The violations of a list of deployments, with pointers into a document that holds it under
/// `deployments`.
#[must_use]
pub fn deployments(list: &[OClassDeployment]) -> Vec<Violation> {
    let mut report = Report::default();
    deployment::check_list(&mut report, list);
    report.into_violations()
}
