//! The planner: tables for each rule, and properties of random small worlds.

mod model;
mod pause;
mod pins;
mod refused;

use std::{borrow::Cow, collections::BTreeMap};

use oprc_models::{
    cluster::{ClusterStatus, Connectivity},
    condition::Truth,
    deployment::OClassDeployment,
    meta::Stored,
    names::{ClusterName, PackageName, UnitId},
    package::OPackage,
    record::{RunCondition, StoredRecord},
    status::DeploymentStatus,
    unit::{Desired, StoredUnit},
    version::PackageVersion,
};
use serde_json::json;

use super::{Input, Lookup, Plan, plan};
use crate::{
    place::{Candidate, Clusters},
    resolve::Packages,
    samples::{
        OWNER, Shelf, at, by_cluster, cluster, cluster_status, deployment, package, record,
        refusal, stored, stored_record, stored_unit,
    },
};

/// All that the planner looks at and may look up.
#[derive(Clone, Default)]
pub(super) struct World {
    pub(super) spec: Option<Stored<OClassDeployment>>,
    pub(super) units: BTreeMap<ClusterName, StoredUnit>,
    pub(super) records: BTreeMap<(ClusterName, UnitId), StoredRecord>,
    pub(super) status: Option<DeploymentStatus>,
    pub(super) packages: BTreeMap<PackageName, OPackage>,
    /// What is published beside what packages are.
    pub(super) published: Vec<OPackage>,
    /// The registered clusters.
    pub(super) clusters: BTreeMap<ClusterName, ClusterStatus>,
    pub(super) now_secs: i64,
}

impl World {
    /// `spec` of incarnation `u1` at generation 1, with its package, and `east` and `west`.
    fn new(spec: serde_json::Value) -> Self {
        let package = package(json!({}));
        Self {
            spec: Some(stored("u1", 1, deployment(spec))),
            packages: BTreeMap::from([(package.name.clone(), package)]),
            clusters: by_cluster(&["east", "west"], |_| cluster_status(Connectivity::Connected)),
            ..Self::default()
        }
    }

    /// The one place that calls `plan`.
    pub(super) fn plan(&self) -> Plan {
        let records = self.records.iter().map(|(place, record)| (place.clone(), record)).collect();
        let input = Input {
            spec: self.spec.as_ref(),
            units: &self.units,
            records: &records,
            status: self.status.as_ref(),
            owner: OWNER,
            now: at(self.now_secs),
        };
        plan(&input, &View(self))
    }

    /// Carries a plan out, as the controller does.
    pub(super) fn carry_out(&mut self, plan: Plan) {
        self.units.extend(plan.units);
        self.status = plan.status.or(self.status.take());
        if plan.is_finished {
            (self.spec, self.status) = (None, None);
        }
    }

    pub(super) fn put_record(&mut self, record: StoredRecord) {
        self.records.insert((record.cluster.clone(), record.id.clone()), record);
    }

    fn settle(&mut self) {
        self.carry_out(self.plan());
        assert!(self.plan().is_empty(), "{:#?}", self.plan());
    }

    /// Every cluster holds what it is to hold, and runs it.
    fn run(&mut self) {
        let units: Vec<_> = self.units.values().cloned().collect();
        for stored in units {
            let running = record(&stored.unit, RunCondition::Running);
            self.put_record(stored_record(&stored.unit, Some(running), None));
        }
        self.settle();
    }

    fn said(&self) -> (RunCondition, Truth, &str) {
        let status = self.status.as_ref().unwrap();
        let ready = &status.conditions[0];
        assert_eq!(ready.r#type, "Ready");
        (status.condition, ready.status, &ready.reason)
    }
}

struct View<'a>(&'a World);

impl<'a> Packages<'a> for View<'a> {
    fn package(&self, name: &PackageName) -> Option<&'a OPackage> {
        self.0.packages.get(name)
    }

    fn versions(&self, name: &PackageName) -> Vec<PackageVersion> {
        let now = self.package(name).and_then(PackageVersion::of);
        Shelf(&self.0.published).versions(name).into_iter().chain(now).collect()
    }

    fn version(&self, name: &PackageName, version: &PackageVersion) -> Option<Cow<'a, OPackage>> {
        Shelf(&self.0.published).version(name, version)
    }
}

impl<'a> Lookup<'a> for View<'a> {
    fn package_generation(&self, name: &PackageName) -> Option<u64> {
        self.0.packages.get(name).map(|_| 1)
    }

    fn package_correlation(&self, _: &PackageName) -> Option<String> {
        Some("of-package".to_owned())
    }

    fn cluster_status(&self, cluster: &ClusterName) -> Option<&'a ClusterStatus> {
        self.0.clusters.get(cluster)
    }
}

impl Clusters for View<'_> {
    fn is_registered(&self, cluster: &ClusterName) -> bool {
        self.0.clusters.contains_key(cluster)
    }

    fn is_configured(&self, cluster: &ClusterName) -> bool {
        self.0.clusters.get(cluster).is_none_or(ClusterStatus::is_configured)
    }

    fn default_cluster(&self) -> Option<&ClusterName> {
        None
    }

    fn candidates(&self) -> Vec<Candidate> {
        let connected = self.0.clusters.iter().filter(|(_, status)| status.is_connected());
        connected.map(|(cluster, _)| Candidate { cluster: cluster.clone(), n_units: 0 }).collect()
    }
}

/// The units of a plan: `east+3` is to be present at generation 3, `west-4` absent at 4.
#[track_caller]
fn check(world: &World, want: &[&str]) {
    let plan = world.plan();
    let units: Vec<_> = plan
        .units
        .iter()
        .map(|(cluster, stored)| {
            let sign = if stored.desired == Desired::Present { '+' } else { '-' };
            assert_eq!(stored.unit.target_env, *cluster);
            format!("{cluster}{sign}{}", stored.unit.generation)
        })
        .collect();
    assert_eq!(units, want);
}

#[test]
fn writes_units_where_they_are_wanted() {
    let mut world = World::new(json!({"target_envs": ["east", "west"]}));
    check(&world, &["east+1", "west+1"]);
    world.settle();
    check(&world, &[]);
    // A change of the spec that no CRM acts on is none.
    world.spec = Some(stored(
        "u1",
        2,
        deployment(json!({"target_envs": ["east", "west"], "labels": {"a": "b"}})),
    ));
    check(&world, &[]);
    world.spec = Some(stored("u1", 3, deployment(json!({"target_envs": ["west"]}))));
    check(&world, &["east-2"]);
    world.settle();
    // Back before it was gone: brought forward.
    world.spec = Some(stored("u1", 4, deployment(json!({"target_envs": ["east"]}))));
    check(&world, &["east+3", "west-3"]);
}

#[test]
fn deletes_and_finishes_once_nothing_is_left() {
    let mut world = World::new(json!({"target_envs": ["east"]}));
    world.settle();
    world.run();
    world.spec.as_mut().unwrap().meta.deletion_requested_at = Some(at(1));
    check(&world, &["east-2"]);
    world.settle();
    assert_eq!(world.said(), (RunCondition::Deleted, Truth::False, "Deleting"));
    assert_eq!(world.status.as_ref().unwrap().conditions[0].message, "waits for east");
    world.units.clear();
    assert!(!world.plan().is_finished, "a record is left");
    world.records.clear();
    let plan = world.plan();
    assert!(!plan.is_finished, "the status does not say so yet");
    assert_eq!(plan.status.as_ref().unwrap().clusters, []);
    world.carry_out(plan);
    assert!(world.plan().is_finished);
    world.carry_out(world.plan());
    assert!(world.spec.is_none() && world.plan().is_empty());
}

/// What is left of a deployment whose spec is no more is taken back all the same.
#[test]
fn cleans_up_without_a_spec() {
    let mut world = World::new(json!({"target_envs": ["east"]}));
    world.settle();
    world.spec = None;
    check(&world, &["east-2"]);
    world.carry_out(world.plan());
    assert!(world.plan().is_empty(), "it waits for the agent");
    world.units.clear();
    assert!(world.plan().is_finished, "the status goes");
}

/// D1: an incarnation, and a class, waits until the one before it is gone from the cluster.
#[test]
fn two_incarnations_never_run_together() {
    let specs = [
        stored("u2", 2, deployment(json!({"target_envs": ["east", "west"]}))),
        stored("u1", 2, deployment(json!({"target_envs": ["east", "west"], "class_key": "box"}))),
    ];
    for spec in specs {
        let mut world = World::new(json!({"target_envs": ["east"]}));
        let class = |key: &str| json!({"key": key, "function_bindings": [{"name": "add", "function_key": "cart.add"}]});
        let package = package(json!({"classes": [class("cart"), class("box")]}));
        world.packages.insert(package.name.clone(), package);
        world.settle();
        world.run();
        let before = world.units["east"].unit.id.clone();
        world.spec = Some(spec);
        check(&world, &["east-2", "west+2"]);
        world.settle();
        assert_eq!(world.said().2, "AwaitingRemoval");
        assert_eq!(world.units["east"].unit.id, before, "it is remembered");
        world.units.remove("east");
        world.records.clear();
        check(&world, &["east+3"]);
        world.settle();
        assert_ne!(world.units["east"].unit.id, before);
    }
}

/// Units that were hashed in the order of their lists keep their hash: no upgrade replaces them.
#[test]
fn units_of_older_versions_keep_their_hash() {
    let bindings =
        |names: [&str; 2]| names.map(|it| json!({"name": it, "function_key": "cart.add"}));
    let shop = |names| {
        let class = json!({"key": "cart", "function_bindings": bindings(names)});
        package(json!({"classes": [class]}))
    };
    let mut world = World::new(json!({"target_envs": ["east"]}));
    let set = |world: &mut World, package: OPackage| {
        world.packages.insert(package.name.clone(), package);
    };
    set(&mut world, shop(["b", "a"]));
    world.settle();
    let unit = &mut world.units.get_mut("east").unwrap().unit;
    unit.spec_hash = "of an older version".to_owned();
    check(&world, &[]);
    set(&mut world, shop(["a", "b"]));
    check(&world, &[]);
    // Its cluster came back with a newer generation: it is sent again, as what it was.
    let unit = world.units["east"].unit.clone();
    let mut held = record(&unit, RunCondition::Running);
    held.generation = 7;
    world.put_record(stored_record(&unit, Some(held), None));
    check(&world, &["east+8"]);
    assert_eq!(world.plan().units["east"].unit.spec_hash, "of an older version");
    // A change is a change.
    set(&mut world, shop(["a", "c"]));
    assert_ne!(world.plan().units["east"].unit.spec_hash, "of an older version");
}

/// What is ahead of us, or differs at the same generation, is answered by a newer generation: after
/// our store or the CRM's was restored.
#[test]
fn goes_above_what_clusters_have() {
    let held = |generation: u64, hash: &str| {
        let mut world = World::new(json!({"target_envs": ["east"]}));
        world.settle();
        let unit = world.units["east"].unit.clone();
        let mut held = record(&unit, RunCondition::Running);
        (held.generation, held.spec_hash) = (generation, hash.to_owned());
        world.put_record(stored_record(&unit, Some(held), None));
        world
    };
    let same = held(1, "").units["east"].unit.spec_hash.clone();
    check(&held(0, &same), &[]);
    check(&held(1, &same), &[]);
    check(&held(1, ""), &[]);
    check(&held(1, "other"), &["east+2"]);
    check(&held(0, "other"), &[]);
    check(&held(7, &same), &["east+8"]);
    // Even where its package is gone, and it stays as it is but for its generation.
    let mut unresolved = held(7, &same);
    unresolved.packages.clear();
    check(&unresolved, &["east+8"]);
    // Nobody gave that out, and there must be room above it.
    check(&held(u64::MAX, &same), &[]);
    check(&held(1 << 53, &same), &[]);

    let refused = |desired: Desired, current: Option<u64>| {
        let mut world = World::new(json!({"target_envs": ["west"]}));
        world.settle();
        let mut unit = stored_unit("east", 4, desired);
        if desired == Desired::Present {
            world.spec = Some(stored("u1", 1, deployment(json!({"target_envs": ["east"]}))));
            world.units.clear();
            unit.unit.generation = 4;
        }
        world.put_record(stored_record(&unit.unit, None, Some(refusal(4, current))));
        world.units.insert(cluster("east"), unit);
        world
    };
    for (desired, sign) in [(Desired::Present, '+'), (Desired::Absent, '-')] {
        check(&refused(desired, None), &[]);
        check(&refused(desired, Some(3)), &[]);
        check(&refused(desired, Some(4)), &[&format!("east{sign}5")]);
        check(&refused(desired, Some(9)), &[&format!("east{sign}10")]);
        check(&refused(desired, Some(u64::MAX)), &[]);
        let mut world = refused(desired, Some(9));
        world.settle();
    }
}

/// The last number is reached, and nothing is written for ever.
#[test]
fn generations_end_without_a_hot_loop() {
    let mut world = World::new(json!({"target_envs": ["east"]}));
    world.settle();
    world.status.as_mut().unwrap().unit_generation = u64::MAX;
    world.units.get_mut("east").unwrap().unit.generation = u64::MAX;
    world.carry_out(world.plan());
    world.settle();
    world.spec.as_mut().unwrap().meta.deletion_requested_at = Some(at(1));
    world.carry_out(world.plan());
    world.settle();
}

#[test]
fn an_older_generation_that_runs_is_not_ready() {
    let mut world = World::new(json!({"target_envs": ["east"]}));
    world.settle();
    world.run();
    assert_eq!(world.said(), (RunCondition::Running, Truth::True, "Running"));
    let cases = [
        (json!({"target_envs": ["east"], "class_key": "no"}), "ClassNotFound"),
        (json!({"target_envs": ["east", "north"]}), "ClusterNotRegistered"),
        (json!({"target_envs": ["east"], "package_name": "no"}), "PackageNotFound"),
    ];
    for (spec, reason) in cases {
        let mut world = world.clone();
        world.spec = Some(stored("u1", 2, deployment(spec)));
        world.settle();
        let (condition, ready, why) = world.said();
        assert_ne!((condition, ready), (RunCondition::Running, Truth::True), "{reason}");
        assert_eq!((ready, why), (Truth::False, reason));
        assert_eq!(world.status.as_ref().unwrap().observed_generation, 2);
    }
}

#[test]
fn an_update_that_cannot_be_made_leaves_what_runs() {
    let mut world = World::new(json!({"target_envs": ["east"]}));
    world.settle();
    world.run();
    world.packages.clear();
    check(&world, &[]);
    world.settle();
    assert_eq!(world.units["east"].desired, Desired::Present);
}

#[test]
fn says_that_it_has_no_place() {
    let mut world = World::new(json!({"target_envs": ["east"], "excluded_envs": ["east"]}));
    world.settle();
    assert_eq!(world.said(), (RunCondition::Pending, Truth::False, "NoTarget"));
    let mut world = World::new(json!({}));
    world.clusters.clear();
    assert!(world.plan().awaits_cluster);
    world.settle();
    assert_eq!(world.said(), (RunCondition::Pending, Truth::False, "NoClusterAvailable"));
    assert!(!World::new(json!({})).plan().awaits_cluster);
    assert!(World::new(json!({"target_envs": ["x"]})).plan().awaits_cluster);
}

/// Condition, Ready, Progressing and Degraded by how `east` and `west` are.
#[test]
fn the_whole_is_as_its_worst_part() {
    use RunCondition::{Deploying, Down, Pending, Running, Unknown};
    let (yes, no) = (Truth::True, Truth::False);
    let table = [
        ([Running, Running], Running, [yes, no, no]),
        ([Running, Deploying], Deploying, [no, yes, yes]),
        ([Pending, Deploying], Pending, [no, yes, no]),
        ([Running, Down], Down, [no, no, yes]),
        ([Down, Down], Down, [no, no, yes]),
        ([Running, Unknown], Unknown, [Truth::Unknown, no, yes]),
    ];
    for (parts, whole, truths) in table {
        let mut world = World::new(json!({"target_envs": ["east", "west"]}));
        world.settle();
        let units: Vec<_> = world.units.values().cloned().collect();
        for (stored, condition) in units.iter().zip(parts) {
            let record = record(&stored.unit, condition);
            world.put_record(stored_record(&stored.unit, Some(record), None));
        }
        world.settle();
        let status = world.status.as_ref().unwrap();
        assert_eq!(status.condition, whole, "{parts:?}");
        let got: Vec<_> = status.conditions.iter().map(|condition| condition.status).collect();
        assert_eq!(got, truths, "{parts:?}");
        let types: Vec<_> = status.conditions.iter().map(|said| said.r#type.as_str()).collect();
        assert_eq!(types, ["Ready", "Progressing", "Degraded"]);
        for condition in &status.conditions {
            assert_eq!(condition.observed_generation, 1);
        }
    }
}

#[test]
fn transitions_are_carried_within_an_incarnation() {
    let times = |world: &World| -> Vec<i64> {
        let conditions = &world.status.as_ref().unwrap().conditions;
        conditions.iter().map(|said| said.last_transition_time.as_second()).collect()
    };
    let mut world = World::new(json!({"target_envs": ["east"]}));
    world.now_secs = 1;
    world.settle();
    world.now_secs = 2;
    world.run();
    assert_eq!(times(&world), [2, 2, 1], "ready and progressing have turned");
    world.now_secs = 3;
    assert!(world.plan().is_empty(), "time alone changes nothing");
    world.spec = Some(stored("u2", 2, deployment(json!({"target_envs": ["east"]}))));
    world.carry_out(world.plan());
    assert_eq!(times(&world), [3, 3, 3], "another incarnation has a history of its own");
}
