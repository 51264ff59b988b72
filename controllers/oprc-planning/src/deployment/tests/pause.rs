//! What is planned of a paused deployment: marks, and nothing else.

use oprc_models::{condition, record::RunCondition, unit::Desired};
use serde_json::json;

use super::World;
use crate::samples::{at, cluster, deployment};

/// A deployment that runs on `east`.
fn running() -> World {
    let mut world = World::new(json!({ "target_envs": ["east"] }));
    world.settle();
    world.run();
    assert_eq!(world.said().0, RunCondition::Running);
    world
}

fn pause(world: &mut World, is_paused: bool) {
    world.spec.as_mut().unwrap().meta.paused_at = is_paused.then(|| at(7));
    world.settle();
    assert!(world.units.values().all(|unit| unit.paused == is_paused));
}

/// Retargets to `west`, as a push does.
fn retarget(world: &mut World) {
    let spec = world.spec.as_mut().unwrap();
    spec.spec = deployment(json!({ "target_envs": ["west"] }));
    spec.meta.generation += 1;
}

#[test]
fn changes_wait_until_it_goes_on() {
    let mut world = running();
    let before = world.units.clone();
    let given = world.status.as_ref().unwrap().unit_generation;
    pause(&mut world, true);
    assert_eq!(world.said().0, RunCondition::Running, "as long as nothing waits");
    let status = world.status.clone().unwrap();
    assert_eq!(status.unit_generation, given, "a mark is no generation");
    assert!(condition::find(&status.conditions, "Paused").is_some());

    retarget(&mut world);
    world.settle();
    assert_eq!((world.said().0, world.said().2), (RunCondition::Pending, "Paused"));
    assert_eq!(world.units.keys().collect::<Vec<_>>(), [&cluster("east")]);
    assert_eq!(world.units[&cluster("east")].unit, before[&cluster("east")].unit);

    pause(&mut world, false);
    assert_eq!(world.units[&cluster("east")].desired, Desired::Absent);
    assert_eq!(world.units[&cluster("west")].desired, Desired::Present);
    let status = world.status.clone().unwrap();
    assert!(condition::find(&status.conditions, "Paused").is_none());
}

#[test]
fn nothing_is_begun_while_it_is_paused() {
    let mut world = World::new(json!({ "target_envs": ["east"] }));
    pause(&mut world, true);
    assert!(world.units.is_empty());
    assert_eq!(world.said().2, "Paused");
    pause(&mut world, false);
    assert_eq!(world.units.len(), 1);
}

#[test]
fn a_deletion_goes_through() {
    let mut world = running();
    pause(&mut world, true);
    world.spec.as_mut().unwrap().meta.deletion_requested_at = Some(at(9));
    world.settle();
    let unit = &world.units[&cluster("east")];
    assert_eq!((unit.desired, unit.paused), (Desired::Absent, false));
}

#[test]
fn a_restart_makes_another_unit_of_the_same() {
    let mut world = running();
    let before = world.units[&cluster("east")].clone();
    let meta = &mut world.spec.as_mut().unwrap().meta;
    (meta.generation, meta.restart) = (2, Some(2));
    world.settle();
    let after = &world.units[&cluster("east")];
    assert_eq!(after.unit.functions, before.unit.functions);
    assert_ne!(after.unit.spec_hash, before.unit.spec_hash);
    assert!(after.unit.generation > before.unit.generation);
}
