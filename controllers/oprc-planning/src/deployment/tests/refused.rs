//! Updates that clusters refuse, and targets that cannot be used: what the status says of each.

use oprc_models::{
    cluster::TERM_TOO_OLD,
    condition::{Condition, Truth, find},
    record::{Refusal, RunCondition},
};
use serde_json::json;

use super::World;
use crate::samples::{at, by_cluster, cluster_status, deployment, record, stored, stored_record};

/// How one cluster answers the second generation.
#[derive(Clone, Copy, Debug)]
struct Answer {
    /// The generation in the cluster's record, and its run state.
    held: Option<(u64, RunCondition)>,
    /// The status and the code of the refusal.
    refused: Option<(u16, Option<&'static str>)>,
}

/// A world whose clusters ran generation 1 and answered `answers` to generation 2.
fn world(answers: &[Answer]) -> World {
    let names = &["east", "west"][..answers.len()];
    let spec = |image: &str| {
        json!({"target_envs": names, "functions": [
        {"function_key": "cart.add", "config": {"IMAGE": image}}]})
    };
    let mut world = World::new(spec("a"));
    world.settle();
    world.run();
    world.spec = Some(stored("u1", 2, deployment(spec("b"))));
    world.settle();
    let units: Vec<_> = world.units.values().cloned().collect();
    for (stored, answer) in units.iter().zip(answers) {
        assert_eq!(stored.unit.generation, 2);
        let held = answer.held.map(|(generation, condition)| {
            let mut held = record(&stored.unit, condition);
            if generation != stored.unit.generation {
                (held.generation, held.spec_hash) = (generation, "before".to_owned());
            }
            held
        });
        let refusal = answer.refused.map(|(status, code)| Refusal {
            generation: 2,
            package_name: None,
            status,
            code: code.map(str::to_owned),
            message: "no".to_owned(),
            current_generation: None,
            at: at(0),
        });
        world.put_record(stored_record(&stored.unit, held, refusal));
    }
    world.settle();
    world
}

fn said<'w>(world: &'w World, r#type: &str) -> &'w Condition {
    find(&world.status.as_ref().unwrap().conditions, r#type).unwrap()
}

/// Whatever a cluster refuses an update for, what ran is said to run, and no outage is reported.
#[test]
fn refused_update_leaves_what_ran_running() {
    let refusals = [
        (400, Some("invalid_unit")),
        (403, None),
        (404, None),
        (409, Some("stale_term")),
        (409, Some("stale_generation")),
        (409, Some("conflict")),
        (413, None),
        (422, Some("image_not_allowed")),
        (451, None),
        (Refusal::BY_US, Some("Panicked")),
        (Refusal::BY_US, Some("Hung")),
    ];
    for refused in refusals {
        let held = Some((1, RunCondition::Running));
        let world = world(&[Answer { held, refused: Some(refused) }]);
        let status = world.status.as_ref().unwrap();
        let reason = if refused.0 == Refusal::BY_US { "ReconcileFailed" } else { "Refused" };
        let part = &status.clusters[0];
        assert_eq!(status.condition, RunCondition::Running, "{refused:?}");
        assert_eq!((part.generation, part.observed_generation), (2, Some(1)));
        assert_eq!((part.condition, part.reason.as_str()), (RunCondition::Running, reason));
        assert_eq!((status.running_clusters, status.wanted_clusters), (Some(1), Some(1)));
        let progressing = said(&world, "Progressing");
        assert_eq!((progressing.status, progressing.reason.as_str()), (Truth::False, reason));
        assert!(progressing.message.starts_with("east: no"), "{}", progressing.message);
        let ready = said(&world, "Ready");
        assert_eq!((ready.status, ready.reason.as_str()), (Truth::False, reason));
        assert_eq!(said(&world, "Degraded").status, Truth::False, "{refused:?} is no outage");
    }
}

/// Run state, Ready, Progressing with its reason, and Degraded by how two clusters answer.
#[test]
fn parts_that_refuse_are_told_from_parts_that_are_down() {
    use RunCondition::{Deploying, Down, Pending, Running};
    let (yes, no) = (Truth::True, Truth::False);
    let old = |condition, refused: bool| Answer {
        held: Some((1, condition)),
        refused: refused.then_some((422, Some("no_room"))),
    };
    let new = |condition| Answer { held: Some((2, condition)), refused: None };
    let nothing = Answer { held: None, refused: Some((403, None)) };
    let absent = Answer { held: None, refused: None };
    let table = [
        ([new(Running), new(Running)], Running, yes, (no, "Running"), no),
        ([new(Running), old(Running, true)], Running, no, (no, "Refused"), no),
        ([old(Running, true), old(Running, true)], Running, no, (no, "Refused"), no),
        ([old(Running, false), old(Running, true)], Deploying, no, (no, "Refused"), yes),
        ([new(Deploying), old(Running, true)], Deploying, no, (no, "Refused"), yes),
        ([absent, old(Running, true)], Pending, no, (no, "Refused"), yes),
        ([new(Down), old(Running, true)], Down, no, (no, "Refused"), yes),
        ([new(Running), old(Down, true)], Down, no, (no, "Refused"), yes),
        ([new(Running), nothing], Down, no, (no, "Refused"), yes),
        ([new(Running), old(Down, false)], Deploying, no, (yes, "Updating"), yes),
        // It was taken in the end.
        (
            [new(Running), Answer { refused: Some((422, None)), ..new(Running) }],
            Running,
            yes,
            (no, "Running"),
            no,
        ),
    ];
    for (answers, condition, ready, progressing, degraded) in table {
        let world = world(&answers);
        assert_eq!(world.status.as_ref().unwrap().condition, condition, "{answers:?}");
        assert_eq!(said(&world, "Ready").status, ready, "{answers:?}");
        let told = said(&world, "Progressing");
        assert_eq!((told.status, told.reason.as_str()), progressing, "{answers:?}");
        assert_eq!(said(&world, "Degraded").status, degraded, "{answers:?}");
    }
}

/// A CRM that refuses the leader's term takes no update either: what ran is said to run.
#[test]
fn refused_term_leaves_what_ran_running() {
    let held = Some((1, RunCondition::Running));
    let mut world = world(&[Answer { held, refused: None }]);
    assert_eq!(world.status.as_ref().unwrap().condition, RunCondition::Deploying);
    let message = "term 15 is too old: 102 was seen".to_owned();
    let fenced = Condition::new("Fenced", Truth::False, TERM_TOO_OLD, message, 0, at(0));
    world.clusters.get_mut("east").unwrap().conditions = vec![fenced];
    world.settle();
    let status = world.status.as_ref().unwrap();
    assert_eq!(status.condition, RunCondition::Running);
    assert_eq!(status.clusters[0].observed_generation, Some(1));
    let progressing = said(&world, "Progressing");
    assert_eq!((progressing.status, progressing.reason.as_str()), (Truth::False, TERM_TOO_OLD));
    assert!(progressing.message.contains("102 was seen"), "{}", progressing.message);
    assert_eq!(said(&world, "Degraded").status, Truth::False, "it is no outage");
}

/// An outage below a refused update is told by both: the state of what ran, and the refusal.
#[test]
fn older_generation_that_is_down_is_an_outage() {
    let held = Some((1, RunCondition::Down));
    let world = world(&[Answer { held, refused: Some((422, Some("no_room"))) }]);
    let part = &world.status.as_ref().unwrap().clusters[0];
    assert_eq!((part.condition, part.reason.as_str()), (RunCondition::Down, "Down"));
    let message = part.message.as_deref().unwrap();
    assert!(message.contains("generation 1 is down") && message.contains("no (422 no_room)"));
    assert_eq!(said(&world, "Ready").reason, "Down");
    assert_eq!(said(&world, "Progressing").reason, "Refused");
}

/// Clusters that are wanted count, whether they can be used or not.
#[test]
fn unusable_targets_are_counted() {
    let table = [
        (json!({"target_envs": ["east", "north"]}), (1, 2), "ClusterNotRegistered"),
        (json!({"target_envs": ["east", "north", "south"]}), (1, 3), "ClusterNotRegistered"),
        (json!({"target_envs": ["north"]}), (0, 1), "ClusterNotRegistered"),
        (json!({"target_envs": ["east"], "excluded_envs": ["east"]}), (0, 0), "NoTarget"),
        (json!({"available_envs": ["north"]}), (0, 1), "NoClusterAvailable"),
        (json!({"target_envs": ["east", "west"]}), (2, 2), "Running"),
    ];
    for (spec, (running, wanted), reason) in table {
        let mut world = World::new(spec.clone());
        world.clusters =
            by_cluster(&["east", "west"], |_| cluster_status(super::Connectivity::Connected));
        world.settle();
        world.run();
        let status = world.status.as_ref().unwrap();
        let counts = (status.running_clusters, status.wanted_clusters);
        assert_eq!(counts, (Some(running), Some(wanted)), "{spec}");
        let degraded = said(&world, "Degraded");
        assert_eq!(degraded.message, format!("{running} of {wanted} clusters running"));
        assert_eq!(said(&world, "Ready").reason, reason, "{spec}");
        assert_eq!(said(&world, "Progressing").status, Truth::False, "{spec}: nothing goes on");
    }
    let mut world = World::new(json!({"target_envs": ["east", "north", "south"]}));
    world.settle();
    let message = &said(&world, "Ready").message;
    assert_eq!(message, "cluster north is not registered, cluster south is not registered");
}

/// A unit of another class that is on its way out takes the place of one that is wanted.
#[test]
fn cluster_that_waits_for_a_removal_is_counted() {
    let mut world = World::new(json!({"target_envs": ["east"]}));
    world.settle();
    world.run();
    world.spec = Some(stored("u2", 2, deployment(json!({"target_envs": ["east"]}))));
    world.settle();
    let status = world.status.as_ref().unwrap();
    assert_eq!((status.running_clusters, status.wanted_clusters), (Some(0), Some(1)));
    assert_eq!(said(&world, "Progressing").status, Truth::True);
}
