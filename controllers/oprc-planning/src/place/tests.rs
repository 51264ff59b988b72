//! Placement by table, and all small worlds.

use std::collections::BTreeSet;

use serde_json::json;

use oprc_models::names::ClusterName;

use super::{Candidate, Clusters, Placement, place};
use crate::samples::{cluster, deployment};

/// What there is: clusters by name, `*` behind those that hold the deployment; and their units.
struct World {
    registered: &'static [&'static str],
    unconfigured: &'static [&'static str],
    default: Option<&'static str>,
    candidates: &'static [(&'static str, usize)],
    current: &'static [&'static str],
}

const WORLD: World = World {
    registered: &["a", "b", "c"],
    unconfigured: &[],
    default: None,
    candidates: &[("a", 3), ("b", 1), ("c", 1)],
    current: &[],
};

/// What placement looks up.
struct Known {
    registered: Vec<ClusterName>,
    unconfigured: Vec<ClusterName>,
    default: Option<ClusterName>,
    candidates: Vec<Candidate>,
}

impl Clusters for Known {
    fn is_registered(&self, cluster: &ClusterName) -> bool {
        self.registered.contains(cluster)
    }

    fn is_configured(&self, cluster: &ClusterName) -> bool {
        !self.unconfigured.contains(cluster)
    }

    fn default_cluster(&self) -> Option<&ClusterName> {
        self.default.as_ref()
    }

    fn candidates(&self) -> Vec<Candidate> {
        self.candidates.clone()
    }
}

fn placed(world: &World, spec: serde_json::Value) -> Placement {
    let current: BTreeSet<_> = world.current.iter().map(|name| cluster(name)).collect();
    let candidate =
        |&(name, n_units): &(&str, usize)| Candidate { cluster: cluster(name), n_units };
    let names = |names: &[&str]| names.iter().map(|name| cluster(name)).collect();
    let known = Known {
        registered: names(world.registered),
        unconfigured: names(world.unconfigured),
        default: world.default.map(cluster),
        candidates: world.candidates.iter().map(candidate).collect(),
    };
    place(&deployment(spec), &current, &known)
}

/// The one place that calls `place`: the clusters, the rejected ones, whether none was found.
#[track_caller]
fn check(
    world: &World,
    spec: serde_json::Value,
    clusters: &[&str],
    rejected: &[&str],
    is_unplaceable: bool,
) {
    let got = placed(world, spec);
    let names: Vec<_> = got.clusters.iter().map(ToString::to_string).collect();
    let refused: Vec<_> = got.rejected.keys().map(ToString::to_string).collect();
    assert_eq!(names, clusters);
    assert_eq!(refused, rejected);
    assert_eq!(got.is_unplaceable, is_unplaceable);
}

#[test]
fn goes_exactly_where_it_is_told() {
    check(&WORLD, json!({"target_envs": ["a"]}), &["a"], &[], false);
    check(&WORLD, json!({"target_envs": ["c", "a", "a"]}), &["a", "c"], &[], false);
    check(&WORLD, json!({"target_envs": ["a", "x"]}), &["a"], &["x"], false);
    check(&WORLD, json!({"target_envs": ["a", "b"], "excluded_envs": ["b"]}), &["a"], &[], false);
    check(&WORLD, json!({"target_envs": ["a", "x"], "excluded_envs": ["a", "x"]}), &[], &[], false);
    // Neither where it is nor what is allowed changes a word of that.
    let held = World { current: &["b"], ..WORLD };
    check(&held, json!({"target_envs": ["a"], "available_envs": ["c"]}), &["a"], &[], false);
    // A target that is out of reach is one all the same: health moves nothing.
    let dead = World { candidates: &[], ..WORLD };
    check(&dead, json!({"target_envs": ["a"]}), &["a"], &[], false);
}

#[test]
fn looks_for_the_emptiest_and_then_the_first() {
    check(&WORLD, json!({}), &["b"], &[], false);
    check(&WORLD, json!({"available_envs": ["a", "c"]}), &["c"], &[], false);
    check(&WORLD, json!({"available_envs": ["a", "x"]}), &["a"], &[], false);
    check(&WORLD, json!({"excluded_envs": ["b"]}), &["c"], &[], false);
    check(&WORLD, json!({"available_envs": ["a"], "excluded_envs": ["a"]}), &[], &[], true);
    check(&WORLD, json!({"available_envs": ["x"]}), &[], &[], true);
    let dead = World { candidates: &[], ..WORLD };
    check(&dead, json!({}), &[], &[], true);
}

#[test]
fn stays_where_it_is() {
    let held = World { current: &["a"], ..WORLD };
    check(&held, json!({}), &["a"], &[], false);
    check(&held, json!({"available_envs": ["a", "b"]}), &["a"], &[], false);
    check(&held, json!({"available_envs": ["b", "c"]}), &["b"], &[], false);
    check(&held, json!({"excluded_envs": ["a"]}), &["b"], &[], false);
    // Not even a dead cluster, or one that is no candidate any more, is left.
    let dead = World { candidates: &[("b", 0)], ..held };
    check(&dead, json!({}), &["a"], &[], false);
    // Of two, one is kept.
    let twice = World { current: &["b", "c"], ..WORLD };
    check(&twice, json!({}), &["b"], &[], false);
}

#[test]
fn leaves_a_cluster_that_is_not_registered_only_for_a_better_one() {
    let gone = World { registered: &["b", "c"], candidates: &[("b", 1)], current: &["a"], ..WORLD };
    check(&gone, json!({}), &["b"], &[], false);
    check(&gone, json!({"available_envs": ["a", "b"]}), &["b"], &[], false);
    let alone = World { registered: &["b"], candidates: &[], current: &["a"], ..WORLD };
    check(&alone, json!({}), &[], &["a"], true);
    check(&alone, json!({"excluded_envs": ["a"]}), &[], &[], true);
}

#[test]
fn default_cluster_is_preferred_while_it_is_eligible() {
    let world = World { default: Some("a"), ..WORLD };
    check(&world, json!({}), &["a"], &[], false);
    check(&world, json!({"available_envs": ["a", "c"]}), &["a"], &[], false);
    // Not where the deployment does not allow it, nor where it is no candidate.
    check(&world, json!({"excluded_envs": ["a"]}), &["b"], &[], false);
    check(&world, json!({"available_envs": ["b", "c"]}), &["b"], &[], false);
    check(&world, json!({"target_envs": ["c"]}), &["c"], &[], false);
    let away = World { candidates: &[("b", 1), ("c", 0)], ..world };
    check(&away, json!({}), &["c"], &[], false);
    // What is placed stays.
    let held = World { current: &["c"], default: Some("a"), ..WORLD };
    check(&held, json!({}), &["c"], &[], false);
}

#[test]
fn cluster_that_is_not_configured_takes_nothing_new() {
    let world = World { unconfigured: &["a"], ..WORLD };
    check(&world, json!({"target_envs": ["a", "b"]}), &["b"], &["a"], false);
    let held = World { current: &["a"], unconfigured: &["a"], ..WORLD };
    check(&held, json!({"target_envs": ["a", "b"]}), &["a", "b"], &[], false);
    check(&held, json!({}), &["a"], &[], false);
}

/// Whatever the specs and clusters: it goes nowhere that is excluded or not registered, and once
/// placed it stays.
#[test]
fn every_small_world() {
    const NAMES: [&str; 2] = ["a", "b"];
    let subset = |bits: usize| -> Vec<&str> {
        NAMES.iter().enumerate().filter(|(i, _)| bits & (1 << i) != 0).map(|(_, n)| *n).collect()
    };
    for bits in 0..1usize << 10 {
        let part = |i: usize| subset((bits >> (2 * i)) & 3);
        let [targets, available, excluded, registered, current] = [0, 1, 2, 3, 4].map(part);
        let spec = deployment(json!({
            "target_envs": targets, "available_envs": available, "excluded_envs": excluded,
        }));
        let current: BTreeSet<_> = current.into_iter().map(cluster).collect();
        let candidates = registered.iter().enumerate();
        let candidates =
            candidates.map(|(n_units, name)| Candidate { cluster: cluster(name), n_units });
        let known = Known {
            registered: registered.iter().map(|name| cluster(name)).collect(),
            unconfigured: Vec::new(),
            default: Some(cluster("b")),
            candidates: candidates.collect(),
        };
        let got = place(&spec, &current, &known);
        for chosen in &got.clusters {
            assert!(known.is_registered(chosen), "{bits:b}: {chosen} is not registered");
            assert!(!spec.excluded_envs.contains(chosen), "{bits:b}: {chosen} is excluded");
        }
        assert!(got.clusters.is_disjoint(&got.rejected.keys().cloned().collect()));
        if spec.target_envs.is_empty() {
            assert_eq!(got.clusters.is_empty(), got.is_unplaceable, "{bits:b}");
            assert!(got.clusters.len() <= 1, "{bits:b}: one cluster");
            if !got.is_unplaceable {
                let again = place(&spec, &got.clusters, &known);
                assert_eq!(again, got, "{bits:b}: it moves");
            }
        } else {
            assert!(!got.is_unplaceable);
        }
    }
}
