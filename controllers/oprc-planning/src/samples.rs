//! Documents, units and records for this crate's tests.

use std::{borrow::Cow, collections::BTreeMap};

use oprc_models::{
    cluster::{ClusterStatus, Connectivity},
    deployment::OClassDeployment,
    meta::{Meta, Stored, Timestamp},
    names::{ClusterName, PackageName},
    package::OPackage,
    record::{DeploymentRecord, RecordStatus, Refusal, RunCondition, StoredRecord},
    unit::{DeploymentUnit, Desired, StoredUnit},
    version::PackageVersion,
};
use serde_json::{Value, json};

use crate::resolve::Packages;

pub(crate) const OWNER: &str = "oprc-pm";

/// Every condition that there is.
pub(crate) const CONDITIONS: [RunCondition; 6] = [
    RunCondition::Pending,
    RunCondition::Deploying,
    RunCondition::Running,
    RunCondition::Down,
    RunCondition::Deleted,
    RunCondition::Unknown,
];

pub(crate) fn cluster(name: &str) -> ClusterName {
    name.parse().unwrap()
}

/// A point in time, in seconds after the epoch.
pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(secs).unwrap()
}

pub(crate) fn stored<T>(uid: &str, generation: u64, spec: T) -> Stored<T> {
    let meta = Meta::new(uid.to_owned(), generation, Timestamp::UNIX_EPOCH);
    Stored { meta, spec }
}

/// The deployment `shop.cart` of class `cart`, with the fields of `more`.
pub(crate) fn deployment(more: Value) -> OClassDeployment {
    let base = json!({"key": "shop.cart", "package_name": "shop", "class_key": "cart"});
    serde_json::from_value(merged(base, more)).unwrap()
}

/// The package `shop`, whose class `cart` binds its function `cart.add`, with the fields of `more`.
pub(crate) fn package(more: Value) -> OPackage {
    let base = json!({
        "name": "shop",
        "classes": [{"key": "cart", "function_bindings": [
            {"name": "add", "function_key": "cart.add"}]}],
        "functions": [{"key": "cart.add", "provision_config": {"container_image": "cart:1"}}],
    });
    serde_json::from_value(merged(base, more)).unwrap()
}

/// Packages in the order in which they were pushed: the last of a name is what it is now.
pub(crate) struct Shelf<'a>(pub(crate) &'a [OPackage]);

impl<'a> Packages<'a> for Shelf<'a> {
    fn package(&self, name: &PackageName) -> Option<&'a OPackage> {
        self.0.iter().rev().find(|package| package.name == *name)
    }

    fn versions(&self, name: &PackageName) -> Vec<PackageVersion> {
        let of_name = self.0.iter().filter(|package| package.name == *name);
        of_name.filter_map(PackageVersion::of).collect()
    }

    fn version(&self, name: &PackageName, version: &PackageVersion) -> Option<Cow<'a, OPackage>> {
        let mut of_name = self.0.iter().filter(|package| package.name == *name);
        of_name.find(|it| PackageVersion::of(it).as_ref() == Some(version)).map(Cow::Borrowed)
    }
}

fn merged(mut base: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("{more} is not an object") };
    base.as_object_mut().unwrap().extend(more);
    base
}

/// The unit of `shop.cart` of incarnation `u1` on `name`, as `crate::build` makes it.
pub(crate) fn unit(name: &str, generation: u64) -> DeploymentUnit {
    let (spec, package) = (stored("u1", 1, deployment(json!({}))), package(json!({})));
    let template = crate::build::Template::resolve(&spec, &Shelf(&[package])).unwrap();
    template.unit(&cluster(name), OWNER, generation, Timestamp::UNIX_EPOCH)
}

pub(crate) fn stored_unit(name: &str, generation: u64, desired: Desired) -> StoredUnit {
    StoredUnit {
        desired,
        deployment_uid: "u1".to_owned(),
        paused: false,
        correlation_id: None,
        unit: unit(name, generation),
    }
}

/// What a CRM says that keeps exactly `unit`.
pub(crate) fn record(unit: &DeploymentUnit, condition: RunCondition) -> DeploymentRecord {
    DeploymentRecord {
        id: unit.id.clone(),
        deployment_key: unit.deployment_key.clone(),
        package_name: unit.package_name.clone(),
        class_key: unit.class_key.clone(),
        target_environment: unit.target_env.clone(),
        cluster_name: unit.target_env.clone(),
        owner: unit.owner.clone(),
        generation: unit.generation,
        spec_hash: unit.spec_hash.clone(),
        status: RecordStatus {
            condition,
            phase: String::new(),
            message: None,
            last_updated: Timestamp::UNIX_EPOCH,
            functions: Vec::new(),
        },
        nfr_compliance: None,
        resource_refs: Vec::new(),
        runtime: None,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

pub(crate) fn stored_record(
    unit: &DeploymentUnit,
    record: Option<DeploymentRecord>,
    refusal: Option<Refusal>,
) -> StoredRecord {
    StoredRecord {
        cluster: unit.target_env.clone(),
        id: unit.id.clone(),
        deployment_key: unit.deployment_key.clone(),
        managed: true,
        record: record.map(Into::into),
        refusal,
        unreadable: None,
        observed_at: Timestamp::UNIX_EPOCH,
    }
}

pub(crate) fn refusal(generation: u64, current_generation: Option<u64>) -> Refusal {
    Refusal {
        generation,
        package_name: None,
        status: if current_generation.is_some() { 409 } else { 400 },
        code: None,
        message: "no".to_owned(),
        current_generation,
        at: Timestamp::UNIX_EPOCH,
    }
}

pub(crate) fn cluster_status(connectivity: Connectivity) -> ClusterStatus {
    ClusterStatus { connectivity, ..ClusterStatus::default() }
}

/// A map from names to what `value` makes of each.
pub(crate) fn by_cluster<T>(names: &[&str], value: impl Fn(&str) -> T) -> BTreeMap<ClusterName, T> {
    names.iter().map(|name| (cluster(name), value(name))).collect()
}
