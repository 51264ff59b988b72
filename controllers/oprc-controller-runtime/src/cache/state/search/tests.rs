//! Searches against naive filters, under random changes.

use std::collections::BTreeMap;

use bytes::Bytes;
use oprc_cp_storage::{Change, KeyValue, Revision};
use oprc_models::{meta::Timestamp, names::PackageName, record::RunCondition};
use serde_json::{Value, json};

use super::{Criterion, MAX_CRITERIA, State};

const NAMES: [&str; 8] = ["a", "a.b", "a1", "b", "c", "d-1", "e", "z"];
const RUN_STATES: [RunCondition; 3] =
    [RunCondition::Pending, RunCondition::Running, RunCondition::Down];

fn pick<'a>(of: &[&'a str], rng: &mut fastrand::Rng) -> &'a str {
    of[rng.usize(0..of.len())]
}

fn subset<'a>(of: &[&'a str], rng: &mut fastrand::Rng) -> Vec<&'a str> {
    of.iter().copied().filter(|_| rng.bool()).collect()
}

fn labels(rng: &mut fastrand::Rng) -> Value {
    let names = subset(&["team", "tier", "n"], rng);
    let pairs = names.into_iter().map(|name| (name.to_owned(), pick(&["x", "y", ""], rng).into()));
    Value::Object(pairs.collect())
}

fn document(key: &str, rng: &mut fastrand::Rng) -> Value {
    let meta = json!({
        "uid": pick(&["u", "v"], rng), "generation": 1, "created_at": Timestamp::UNIX_EPOCH,
        "updated_at": Timestamp::UNIX_EPOCH, "package_since": rng.bool().then_some(2), "bundle": rng.bool().then(|| pick(&["b", "c"], rng)),
    });
    match key.split('/').collect::<Vec<_>>()[..] {
        ["packages", name] => json!({"meta": meta, "spec": {
            "name": name, "labels": labels(rng),
            "metadata": {"tags": subset(&["web", "eu"], rng)}}}),
        ["deployments", key] => json!({"meta": meta, "spec": {
            "key": key, "package_name": pick(&["a", "b"], rng), "class_key": "k",
            "target_envs": subset(&["east", "west"], rng), "labels": labels(rng)}}),
        ["units", cluster, deployment] => json!({
            "desired": "PRESENT", "deployment_uid": "u", "unit": {
                "id": format!("{cluster}-{}", deployment.replace('.', "-")),
                "deployment_key": deployment, "package_name": "a", "class_key": "k",
                "target_env": cluster, "generation": 1, "spec_hash": "", "owner": "",
                "created_at": Timestamp::UNIX_EPOCH}}),
        _ => json!({
            "uid": pick(&["u", "v"], rng), "observed_generation": rng.u8(1..=2),
            "condition": RUN_STATES[rng.usize(0..RUN_STATES.len())]}),
    }
}

fn key(rng: &mut fastrand::Rng) -> String {
    let name = pick(&NAMES, rng);
    match rng.u8(0..5) {
        0 => format!("packages/{name}"),
        1 | 2 => format!("deployments/{name}"),
        3 => format!("status/deployments/{name}"),
        _ => format!("units/{}/{name}", pick(&["east", "west"], rng)),
    }
}

fn change(state: &mut State, revision: u64, rng: &mut fastrand::Rng) {
    let key = key(rng);
    let revision = Revision(revision);
    if rng.u8(0..4) == 0 {
        state.apply(Change::Delete { key, revision });
        return;
    }
    let value = Bytes::from(document(&key, rng).to_string());
    let create_revision = Revision(1);
    state.apply(Change::Put(KeyValue { key, value, create_revision, mod_revision: revision }));
}

fn criterion(rng: &mut fastrand::Rng) -> Criterion {
    match rng.u8(0..7) {
        0 => Criterion::Package(pick(&["a", "b", "none"], rng).parse().unwrap()),
        1 => Criterion::Bundle(pick(&["b", "c", "none"], rng).parse().unwrap()),
        2 => Criterion::Cluster(pick(&["east", "west", "none"], rng).parse().unwrap()),
        3 => Criterion::RunState(RUN_STATES[rng.usize(0..RUN_STATES.len())]),
        4 => Criterion::Tag(pick(&["web", "eu", "none"], rng).to_owned()),
        5 => Criterion::Label(pick(&["team", "tier", "none"], rng).to_owned()),
        _ => Criterion::LabelIn(
            pick(&["team", "n"], rng).to_owned(),
            subset(&["x", "y", "", "none"], rng).into_iter().map(str::to_owned).collect(),
        ),
    }
}

fn has_label(labels: &BTreeMap<String, String>, criterion: &Criterion) -> bool {
    match criterion {
        Criterion::Label(name) => labels.contains_key(name),
        Criterion::LabelIn(name, values) => {
            labels.get(name).is_some_and(|value| values.contains(value))
        }
        other => unreachable!("{other:?} is not about labels"),
    }
}

/// The deployments that meet `criteria`, by looking at each.
fn naive_deployments(state: &State, criteria: &[Criterion]) -> Vec<String> {
    let meets = |key: &_, criterion: &Criterion| {
        let Some(stored) = state.deployments.get(key).map(|entry| &entry.value) else {
            return false;
        };
        match criterion {
            Criterion::Package(package) => stored.spec.package_name == *package,
            Criterion::Bundle(bundle) => stored.meta.bundle.as_ref() == Some(bundle),
            Criterion::Cluster(cluster) => {
                stored.spec.target_envs.contains(cluster) || state.unit(cluster, key).is_some()
            }
            Criterion::RunState(wanted) => {
                let status = state.deployment_statuses.get(key).map(|entry| &entry.value);
                let since = stored.meta.package_since.unwrap_or_default();
                let status = status.filter(|status| {
                    status.uid == stored.meta.uid && status.observed_generation >= since
                });
                status.map_or(RunCondition::Pending, |status| status.condition) == *wanted
            }
            Criterion::Tag(_) => false,
            labels => has_label(&stored.spec.labels, labels),
        }
    };
    let keys = state.deployments.keys();
    let keys = keys.filter(|key| criteria.iter().all(|criterion| meets(key, criterion)));
    keys.map(ToString::to_string).collect()
}

fn naive_packages(state: &State, criteria: &[Criterion]) -> Vec<String> {
    let meets = |name: &PackageName, criterion: &Criterion| {
        let stored = &state.packages[name].value;
        match criterion {
            Criterion::Bundle(bundle) => stored.meta.bundle.as_ref() == Some(bundle),
            Criterion::Tag(tag) => stored.spec.metadata.tags.contains(tag),
            Criterion::Package(_) | Criterion::Cluster(_) | Criterion::RunState(_) => false,
            labels => has_label(&stored.spec.labels, labels),
        }
    };
    let names = state.packages.keys();
    let names = names.filter(|name| criteria.iter().all(|criterion| meets(name, criterion)));
    names.map(ToString::to_string).collect()
}

/// Asserts that `candidates` are in order and hold all of `wanted`; with one criterion, nothing else.
fn check(candidates: &[String], wanted: &[String], n_criteria: usize, case: &str) {
    assert!(candidates.is_sorted_by(|a, b| a < b), "{case}: {candidates:?}");
    if n_criteria == 1 {
        assert_eq!(candidates, wanted, "{case}");
    }
    let missing = wanted.iter().find(|name| !candidates.contains(name));
    assert_eq!(missing, None, "{case}: {candidates:?}");
}

#[test]
fn searches_find_what_naive_filters_find() {
    let (mut n_found, mut n_skipped) = (0, 0);
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut state = State::default();
        for revision in 1..120 {
            change(&mut state, revision, &mut rng);
            let criteria: Vec<Criterion> =
                (0..rng.usize(1..=MAX_CRITERIA)).map(|_| criterion(&mut rng)).collect();
            let case = format!("seed {seed}, revision {revision}, {criteria:?}");
            let wanted = naive_deployments(&state, &criteria);
            let found = state.search_deployments(&criteria, None).unwrap();
            // A unit may be there without its deployment: the caller's filter drops it.
            let found = found.filter(|key| state.deployments.contains_key(*key));
            let found: Vec<String> = found.map(ToString::to_string).collect();
            check(&found, &wanted, criteria.len(), &case);
            n_found += wanted.len();
            n_skipped += state.deployments.len() - found.len();
            // A search that goes on finds the rest.
            if let Some(first) = found.first() {
                let rest = state.search_deployments(&criteria, Some(&first.parse().unwrap()));
                let rest = rest.unwrap().filter(|key| state.deployments.contains_key(*key));
                assert_eq!(rest.map(ToString::to_string).collect::<Vec<_>>(), found[1..], "{case}");
            }
            let wanted = naive_packages(&state, &criteria);
            let found = state.search_packages(&criteria, None).unwrap();
            let found: Vec<String> = found.map(ToString::to_string).collect();
            if !criteria.iter().any(|one| {
                matches!(
                    one,
                    Criterion::Package(_) | Criterion::Cluster(_) | Criterion::RunState(_)
                )
            }) {
                check(&found, &wanted, criteria.len(), &case);
            }
        }
    }
    assert!(n_found > 1000 && n_skipped > 1000, "{n_found} found, {n_skipped} skipped");
}

#[test]
fn no_criterion_is_no_search() {
    let state = State::default();
    assert!(state.search_deployments(&[], None).is_none());
    assert!(state.search_packages(&[], None).is_none());
}

#[test]
fn postings_share_the_text_of_names_and_leave_nothing_behind() {
    let mut state = State::default();
    let mut rng = fastrand::Rng::with_seed(1);
    for revision in 1..500 {
        change(&mut state, revision, &mut rng);
    }
    assert!(!state.deployment_postings.0.is_empty() && !state.package_postings.0.is_empty());
    for (_, key) in &state.deployment_postings.0 {
        let (kept, _) = state.deployments.get_key_value(key).unwrap();
        assert!(std::ptr::eq(kept.as_str(), key.as_str()), "{key}");
    }
    for (_, name) in &state.package_postings.0 {
        let (kept, _) = state.packages.get_key_value(name).unwrap();
        assert!(std::ptr::eq(kept.as_str(), name.as_str()), "{name}");
    }
    for name in NAMES {
        for key in [format!("packages/{name}"), format!("deployments/{name}")] {
            state.apply(Change::Delete { key, revision: Revision(1000) });
        }
    }
    assert!(state.deployment_postings.0.is_empty() && state.package_postings.0.is_empty());
}
