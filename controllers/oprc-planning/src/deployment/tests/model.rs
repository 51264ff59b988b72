//! Random small worlds: the planner against agents and clusters that do as they please.

use oprc_models::{
    cluster::{ClusterStatus, Connectivity},
    names::ClusterName,
    record::RunCondition,
    unit::{Desired, StoredUnit},
};
use serde_json::json;

use super::World;
use crate::{
    samples::{
        CONDITIONS, at, by_cluster, cluster, cluster_status, deployment, package, record, refusal,
        stored, stored_record,
    },
    unit::{Action, Observation, plan},
};

const CLUSTERS: [&str; 3] = ["east", "north", "west"];
const CONNECTIVITY: [Connectivity; 3] =
    [Connectivity::Connected, Connectivity::Unreachable, Connectivity::Unknown];

/// A world that changes at random, and what must never happen in it.
struct Model {
    world: World,
    rng: fastrand::Rng,
    generation: u64,
    incarnation: u64,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut model = Self {
            world: World::default(),
            rng: fastrand::Rng::with_seed(seed),
            generation: 0,
            incarnation: 1,
        };
        model.world.clusters = by_cluster(&CLUSTERS, |_| cluster_status(Connectivity::Connected));
        model.put_package();
        model
    }

    fn some(&mut self) -> Vec<&'static str> {
        CLUSTERS.into_iter().filter(|_| self.rng.bool()).collect()
    }

    fn put_package(&mut self) {
        let image = format!("cart:{}", self.rng.u8(0..3));
        let function = json!({"key": "cart.add", "provision_config": {"container_image": image}});
        let package = package(json!({"functions": [function]}));
        self.world.packages.insert(package.name.clone(), package);
    }

    /// Users, packages, registrations, health.
    fn change(&mut self) {
        match self.rng.u8(0..10) {
            0..4 => self.put_spec(),
            4 => {
                if let Some(spec) = &mut self.world.spec {
                    spec.meta.deletion_requested_at = Some(at(1));
                }
            }
            5 => self.put_package(),
            6 => self.world.packages.clear(),
            7 => {
                let name = cluster(CLUSTERS[self.rng.usize(0..3)]);
                if self.world.clusters.remove(&name).is_none() {
                    self.world.clusters.insert(name, cluster_status(Connectivity::Unknown));
                }
            }
            _ => {
                let connectivity = CONNECTIVITY[self.rng.usize(0..3)];
                let i = self.rng.usize(0..3);
                if let Some(status) = self.world.clusters.values_mut().nth(i) {
                    status.connectivity = connectivity;
                }
            }
        }
    }

    fn put_spec(&mut self) {
        let is_deleting = self.world.spec.as_ref().is_none_or(|spec| spec.meta.is_deleting());
        self.incarnation += u64::from(is_deleting);
        self.generation += 1;
        let (targets, available, mut excluded) = (self.some(), self.some(), self.some());
        if self.rng.u8(0..3) > 0 {
            excluded.clear();
        }
        let spec = deployment(json!({
            "target_envs": targets, "available_envs": available, "excluded_envs": excluded,
        }));
        self.world.spec = Some(stored(&format!("u{}", self.incarnation), self.generation, spec));
    }

    /// One cluster's agent takes a step, as the real one would, or its CRM does something of its
    /// own accord.
    fn step(&mut self) {
        let name = cluster(CLUSTERS[self.rng.usize(0..3)]);
        let Some(stored) = self.world.units.get(&name).cloned() else { return };
        let place = (name.clone(), stored.unit.id.clone());
        let held =
            self.world.records.get(&place).and_then(|record| record.record.as_deref().cloned());
        match (self.rng.u8(0..8), held) {
            // Restored from a backup.
            (0, _) => {
                let mut held = record(&stored.unit, RunCondition::Running);
                held.generation = self.rng.u64(0..stored.unit.generation + 3);
                self.world.put_record(stored_record(&stored.unit, Some(held), None));
            }
            (1, held) => {
                let current = self.rng.bool().then(|| self.rng.u64(0..stored.unit.generation + 3));
                let refused = refusal(stored.unit.generation, current);
                self.world.put_record(stored_record(&stored.unit, held, Some(refused)));
            }
            (2, Some(mut held)) => {
                held.status.condition = CONDITIONS[self.rng.usize(0..CONDITIONS.len())];
                self.world.put_record(stored_record(&stored.unit, Some(held), None));
            }
            (_, held) => {
                let observed = held.as_ref().map_or(Observation::Absent, Observation::Present);
                self.act(&name, &stored, plan(&stored, observed));
            }
        }
    }

    fn act(&mut self, name: &ClusterName, stored: &StoredUnit, action: Action) {
        let place = (name.clone(), stored.unit.id.clone());
        match action {
            Action::Apply(_) => {
                let held = record(&stored.unit, RunCondition::Running);
                self.world.put_record(stored_record(&stored.unit, Some(held), None));
            }
            Action::Delete(..) => {
                self.world.records.remove(&place);
            }
            Action::Forget => {
                self.world.records.remove(&place);
                self.world.units.remove(name);
            }
            Action::Nothing | Action::Observe => (),
        }
    }

    /// Plans, looks at what must always hold, and carries it out.
    fn reconcile(&mut self) {
        let before = self.world.clone();
        let plan = self.world.plan();
        self.world.carry_out(plan.clone());
        for (name, unit) in &plan.units {
            check_write(&before, name, unit);
        }
        for name in before.units.keys() {
            assert!(self.world.units.contains_key(name), "the unit on {name} was dropped");
        }
        if plan.is_finished {
            assert!(before.units.is_empty() && before.records.is_empty(), "something is left");
        }
        check_status(&self.world);
        self.world.now_secs += 1;
        let again = self.world.plan();
        // What is finished is removed once the status says that nothing is left.
        let is_finished = again.is_finished && !plan.is_finished && plan.status.is_some();
        assert!(again.is_empty() || is_finished, "carried out, and more is to do: {again:#?}");
    }
}

/// A write never goes back, and never puts an incarnation in another's place.
fn check_write(before: &World, name: &ClusterName, unit: &StoredUnit) {
    let generation = unit.unit.generation;
    let given = before.status.as_ref().map_or(0, |status| status.unit_generation);
    assert!(generation > given, "{generation} was given out before");
    for held in before.units.values() {
        assert!(generation > held.unit.generation, "not above {}", held.unit.generation);
    }
    for record in before.records.values() {
        let held = record.record.as_ref().map(|held| held.generation);
        let refused = record.refusal.as_ref().and_then(|refusal| refusal.current_generation);
        assert!(held.max(refused).is_none_or(|known| generation > known), "not above {record:?}");
    }
    if let Some(old) = before.units.get(name) {
        assert_eq!(old.deployment_uid, unit.deployment_uid, "an incarnation was overwritten");
        assert_eq!(old.unit.id, unit.unit.id, "a unit was overwritten");
    }
    if unit.desired == Desired::Present {
        let spec = before.spec.as_ref().unwrap();
        assert!(!spec.meta.is_deleting() && spec.meta.uid == unit.deployment_uid);
        assert!(before.clusters.contains_key(name), "{name} is not registered");
        assert!(!spec.spec.excluded_envs.contains(name), "{name} is excluded");
    }
}

/// RUNNING only where every wanted unit is known to run: at its newest generation, or at an older one
/// if its cluster refuses the newest.
fn check_status(world: &World) {
    let (Some(spec), Some(status)) = (&world.spec, &world.status) else { return };
    assert_eq!(status.observed_generation, spec.meta.generation);
    assert_eq!(status.uid, spec.meta.uid);
    assert_eq!(status.clusters.len(), world.units.len());
    for part in &status.clusters {
        let unit = &world.units[&part.cluster].unit;
        let held = world.records.get(&(part.cluster.clone(), unit.id.clone()));
        let refusal = held.and_then(|record| record.refusal.as_ref());
        let is_refused = refusal.is_some_and(|refusal| refusal.generation == unit.generation);
        let held = held.and_then(|record| record.record.as_ref());
        let is_connected =
            world.clusters.get(&part.cluster).is_some_and(ClusterStatus::is_connected);
        if part.condition == RunCondition::Running {
            assert!(is_connected && part.desired == Desired::Present);
            let is_held = held.is_some();
            // A CRM that reports no generations reports 0.
            let held = held.map(|held| held.generation).filter(|it| *it > 0);
            assert_eq!(part.observed_generation, held);
            assert!(held == Some(unit.generation) || (is_held && is_refused), "{part:?}");
            assert_eq!(held != Some(unit.generation), part.reason == "Refused", "{part:?}");
        }
        if status.condition == RunCondition::Running && part.desired == Desired::Present {
            assert_eq!(part.condition, RunCondition::Running, "{part:?}");
        }
    }
    if status.condition == RunCondition::Running {
        let runs_something = status.clusters.iter().any(|part| part.desired == Desired::Present);
        assert!(runs_something && !spec.meta.is_deleting());
    }
}

#[test]
fn random_worlds_keep_the_invariants() {
    for seed in 0..200 {
        let mut model = Model::new(seed);
        for _ in 0..60 {
            match model.rng.u8(0..3) {
                0 => model.change(),
                _ => model.step(),
            }
            if model.rng.bool() {
                model.reconcile();
            }
        }
    }
}

/// Once users and clusters hold still, it comes to rest: everything wanted runs, the rest is gone.
#[test]
fn random_worlds_converge() {
    for seed in 0..100 {
        let mut model = Model::new(seed);
        for _ in 0..30 {
            model.change();
            model.step();
            model.reconcile();
        }
        model.put_package();
        for name in CLUSTERS {
            model.world.clusters.insert(cluster(name), cluster_status(Connectivity::Connected));
        }
        for _ in 0..12 {
            model.reconcile();
            for name in CLUSTERS {
                follow(&mut model.world, &cluster(name));
            }
        }
        model.reconcile();
        let world = &model.world;
        let Some(spec) = &world.spec else {
            assert!(world.units.is_empty() && world.status.is_none(), "seed {seed}");
            continue;
        };
        assert!(!spec.meta.is_deleting(), "seed {seed}: its deletion did not finish");
        let status = world.status.as_ref().unwrap();
        let is_placed = !world.units.is_empty();
        let want = if is_placed { RunCondition::Running } else { RunCondition::Pending };
        assert_eq!(status.condition, want, "seed {seed}: {status:#?}");
        assert!(world.units.values().all(|unit| unit.desired == Desired::Present));
    }
}

/// The agent of `name` and its CRM do what is asked of them.
fn follow(world: &mut World, name: &ClusterName) {
    let Some(stored) = world.units.get(name).cloned() else { return };
    let place = (name.clone(), stored.unit.id.clone());
    match stored.desired {
        Desired::Present => {
            let known = world.records.get(&place);
            let held = known.and_then(|record| record.record.as_ref()).map(|held| held.generation);
            let refused = known.and_then(|record| record.refusal.as_ref()?.current_generation);
            if held.max(refused).is_none_or(|known| known <= stored.unit.generation) {
                let running = record(&stored.unit, RunCondition::Running);
                world.put_record(stored_record(&stored.unit, Some(running), None));
            }
        }
        Desired::Absent => {
            world.records.remove(&place);
            world.units.remove(name);
        }
    }
}
